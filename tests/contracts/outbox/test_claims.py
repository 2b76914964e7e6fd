"""The contract of `Outbox`: claims, leases and acknowledgement."""

import threading
from collections.abc import Callable
from datetime import UTC
from functools import partial
from uuid import uuid4

import pytest

from repositories.outbox import Backlog, Claim
from repositories.records.events import Event
from tests.contracts.outbox.outboxes import (
    LAST,
    LATER,
    MICROSECOND,
    SECOND,
    WritableOutbox,
    claim,
    dispatch_all,
    event,
    events_of,
    in_threads,
    of_aggregate,
    put,
)
from tests.contracts.relational_store import NOW

PAYLOADS = [
    b"{}",
    '{"text":"Gr\u00fc\u00dfe e\u0301 \U0001f469\u200d\U0001f467 \u0130\u0131"}'.encode(),
    b'{ "b" : 1.0,\n"a":null}',
    b'"\\u0000"',
]


def test_an_empty_outbox(box: WritableOutbox) -> None:
    assert claim(box) == []
    assert box.outbox.dead_letters(limit=9) == []
    assert box.outbox.backlog() == Backlog(0, 0, None)
    assert box.outbox.replay(None, now=NOW) == 0
    box.outbox.acknowledge([])
    box.outbox.release([])


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("traceparent", ["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
def test_an_event_comes_back_as_it_was(box: WritableOutbox, payload: bytes, traceparent: str) -> None:
    put_in = Event(uuid4(), "Type.\u00e4\U0001f600", "post:\u00c4 'x'", NOW, payload, traceparent)
    box.put(put_in)
    (claimed,) = claim(box)
    assert claimed.event == put_in
    assert claimed.event.happened_at.tzinfo is UTC
    assert claimed.attempts == 0


def test_oldest_due_come_first_and_no_more_than_asked_for(box: WritableOutbox) -> None:
    events = put(box, 7)
    assert events_of(claim(box, limit=3)) == events[:3]
    assert events_of(claim(box, limit=3)) == events[3:6]
    assert events_of(claim(box, limit=3)) == events[6:]
    assert claim(box, limit=3) == []


def test_a_lease_holds_until_its_end(box: WritableOutbox) -> None:
    put(box, 1)
    (first,) = claim(box, until=LATER)
    assert claim(box, LATER - MICROSECOND) == []
    (second,) = claim(box, LATER, until=LATER + SECOND)
    assert second.event == first.event
    assert second.lease != first.lease
    assert second.attempts == 0


def test_acknowledged_events_are_gone(box: WritableOutbox) -> None:
    events = put(box, 2)
    first, second = claim(box)
    box.outbox.acknowledge([first])
    box.outbox.acknowledge([first])
    assert box.outbox.backlog() == Backlog(1, 0, events[1].happened_at)
    assert events_of(claim(box, LATER)) == [second.event]


def test_events_are_acknowledged_also_after_the_lease(box: WritableOutbox) -> None:
    put(box, 1)
    late = claim(box)
    (current,) = claim(box, LATER, until=LAST)
    box.outbox.acknowledge(late)
    assert claim(box, LAST) == []
    assert box.outbox.backlog() == Backlog(0, 0, None)
    box.outbox.acknowledge([current])
    box.outbox.release([current])
    box.outbox.postpone(current, due=NOW, attempts=1)
    box.outbox.dead_letter(current, reason="late", attempts=1, now=NOW)
    assert box.outbox.backlog() == Backlog(0, 0, None)


def test_release_gives_back_at_once(box: WritableOutbox) -> None:
    events = put(box, 3)
    (first, *rest) = claim(box)
    box.outbox.postpone(first, due=NOW, attempts=2)
    (again,) = claim(box)
    box.outbox.release([again, *rest])
    claims = claim(box)
    assert sorted(events_of(claims), key=str) == sorted(events, key=str)
    assert {one.event: one.attempts for one in claims} == {events[0]: 2, events[1]: 0, events[2]: 0}


def test_release_leaves_events_that_others_hold(box: WritableOutbox) -> None:
    put(box, 2)
    late = claim(box)
    (current,) = claim(box, LATER, until=LAST, limit=1)
    box.outbox.release(late)
    assert current.event not in events_of(claim(box, LATER))
    assert current.event in events_of(claim(box, LAST))


def test_an_expired_lease_counts_until_another_is_given(box: WritableOutbox) -> None:
    put(box, 1)
    (late,) = claim(box, until=NOW + SECOND)
    box.outbox.postpone(late, due=LATER, attempts=1)
    assert claim(box, LATER - MICROSECOND) == []
    assert claim(box, LATER)[0].attempts == 1


def test_two_claimers_never_hold_the_same(box: WritableOutbox) -> None:
    for _ in range(5):
        events = put(box, 12)
        found = in_threads([partial(claim, box, limit=5)] * 4)
        held = [one.event.id for claims in found for one in claims]
        assert len(held) == len(set(held))
        dispatched = {*held, *(one.id for one in dispatch_all(box))}
        assert dispatched == {one.id for one in events}
        for claims in found:
            box.outbox.acknowledge(claims)


def test_many_claimers_and_writers_lose_nothing_and_keep_the_order(box: WritableOutbox) -> None:
    """Claimed events are logged before they are acknowledged, so that the log shows the order."""
    log: list[Event] = []
    guard, writers = threading.Lock(), [3]

    def write(name: str) -> list[Event]:
        events = [event(f"{name}{turn % 2}", NOW - SECOND + MICROSECOND * turn) for turn in range(24)]
        try:
            for one in events:
                box.put(one)
        finally:
            with guard:
                writers[0] -= 1
        return events

    def relay() -> list[Event]:
        claims: list[Claim] = []
        while writers[0] or claims or box.outbox.backlog().unsent:
            claims = claim(box, limit=4)
            with guard:
                log.extend(events_of(claims))
            box.outbox.acknowledge(claims)
        return []

    works: list[Callable[[], list[Event]]] = [
        *(partial(write, f"w{number}-") for number in range(3)),
        relay,
        relay,
        relay,
    ]
    written = [one for several in in_threads(works) for one in several]
    assert len(log) == len(written)
    for aggregate in {one.aggregate for one in written}:
        assert of_aggregate(log, aggregate) == of_aggregate(written, aggregate)
