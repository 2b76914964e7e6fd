"""The contract of `Outbox`, for both truths, which differ only in how an event gets into it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from msgspec import Struct

from repositories import documents
from repositories.outbox import Backlog, Claim, DeadLetter, Outbox
from repositories.records import Event, Post
from tests.contracts.relational_store import NOW, TIMEOUT, migrated_database, opened

T = TypeVar("T")

MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
LATER = NOW + timedelta(minutes=1)
LAST = datetime(2100, 1, 1, tzinfo=UTC)
ADAPTERS = [
    "relational-embedded",
    "documents-embedded",
    pytest.param("relational-postgres", marks=pytest.mark.engines),
    pytest.param("documents-mongo", marks=pytest.mark.engines),
    pytest.param("documents-postgres", marks=pytest.mark.engines),
]
PAYLOADS = [
    b"{}",
    '{"text":"Gr\u00fc\u00dfe e\u0301 \U0001f469\u200d\U0001f467 \u0130\u0131"}'.encode(),
    b'{ "b" : 1.0,\n"a":null}',
    b'"\\u0000"',
]


class Box(Struct, frozen=True):
    """An outbox. `put` writes an event together with a change of its aggregate."""

    outbox: Outbox
    put: Callable[[Event], None]


@pytest.fixture(scope="module", params=ADAPTERS)
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    role, engine = request.param.split("-")
    with ExitStack() as stack:
        if engine == "embedded":
            url = f"sqlite:///{tmp_path_factory.mktemp('outbox') / 'quartet.db'}"
        elif engine == "postgres":
            url = migrated_database(request.getfixturevalue("engines").postgres())
        else:
            server = request.getfixturevalue("engines").mongo()
            url = urlsplit(server.url)._replace(path=f"/t{uuid4().hex}").geturl()
        yield (relational_box if role == "relational" else documents_box)(url, stack)


@pytest.fixture
def box(adapter: Box) -> Box:
    """The outbox of the adapter, emptied."""
    adapter.outbox.replay(None, now=NOW)
    while claims := adapter.outbox.claim(now=LAST, lease_until=LAST, limit=1000):
        adapter.outbox.acknowledge(claims)
    return adapter


def relational_box(url: str, stack: ExitStack) -> Box:
    store = stack.enter_context(opened(url))
    store.migrate()

    def put(event: Event) -> None:
        with store.transaction() as unit:
            unit.emit(event)

    return Box(store.outbox, put)


def documents_box(url: str, stack: ExitStack) -> Box:
    """An outbox of documents. Each aggregate is a post: adding it writes its first event, changing it the others."""
    store = documents.open_store(url, timeout=TIMEOUT, pool=8)
    stack.callback(store.close)
    store.migrate()
    posts: dict[str, Post] = {}

    def put(event: Event) -> None:
        old = posts.get(event.aggregate)
        version = old.version + 1 if old else 1
        post = Post(old.id if old else uuid4(), UUID(int=1), "t", "b", (), (), NOW, NOW, version)
        if old:
            store.posts.replace(post, event, if_version=old.version)
        else:
            store.posts.add(post, event)
        posts[event.aggregate] = post

    return Box(store.outbox, put)


def event(aggregate: str = "", at: datetime = NOW, payload: bytes = b"{}") -> Event:
    return Event(uuid4(), "happened", aggregate or uuid4().hex, at, payload)


def put(box: Box, number: int, aggregate: str = "") -> list[Event]:
    """Put events a microsecond apart, all before NOW: of one aggregate, or each of its own if none is given."""
    events = [event(aggregate, NOW - MICROSECOND * (number - turn)) for turn in range(number)]
    for one in events:
        box.put(one)
    return events


def claim(box: Box, now: datetime = NOW, until: datetime = LATER, limit: int = 100) -> list[Claim]:
    return box.outbox.claim(now=now, lease_until=until, limit=limit)


def events_of(claims: list[Claim]) -> list[Event]:
    return [one.event for one in claims]


def dispatch_all(box: Box, now: datetime = NOW, limit: int = 100) -> list[Event]:
    """Claim and acknowledge all events. Returns them in that order."""
    dispatched: list[Event] = []
    while claims := claim(box, now, limit=limit):
        dispatched += events_of(claims)
        box.outbox.acknowledge(claims)
    return dispatched


def of(events: list[Event], aggregate: str) -> list[Event]:
    return [one for one in events if one.aggregate == aggregate]


def in_threads(works: list[Callable[[], T]]) -> list[T]:
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_an_empty_outbox(box: Box) -> None:
    assert claim(box) == []
    assert box.outbox.dead_letters(limit=9) == []
    assert box.outbox.backlog() == Backlog(0, 0, None)
    assert box.outbox.replay(None, now=NOW) == 0
    box.outbox.acknowledge([])
    box.outbox.release([])


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("traceparent", ["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
def test_an_event_comes_back_as_it_was(box: Box, payload: bytes, traceparent: str) -> None:
    put_in = Event(uuid4(), "Type.\u00e4\U0001f600", "post:\u00c4 'x'", NOW, payload, traceparent)
    box.put(put_in)
    (claimed,) = claim(box)
    assert claimed.event == put_in
    assert claimed.event.happened_at.tzinfo is UTC
    assert claimed.attempts == 0


def test_oldest_due_come_first_and_no_more_than_asked_for(box: Box) -> None:
    events = put(box, 7)
    assert events_of(claim(box, limit=3)) == events[:3]
    assert events_of(claim(box, limit=3)) == events[3:6]
    assert events_of(claim(box, limit=3)) == events[6:]
    assert claim(box, limit=3) == []


def test_the_postponed_come_in_the_order_of_their_new_times(box: Box) -> None:
    events = put(box, 3)
    for one, wait in zip(claim(box), (3, 1, 2), strict=True):
        box.outbox.postpone(one, due=NOW + SECOND * wait, attempts=1)
    assert events_of(claim(box, NOW + SECOND * 3)) == [events[1], events[2], events[0]]


def test_a_lease_holds_until_its_end(box: Box) -> None:
    put(box, 1)
    (first,) = claim(box, until=LATER)
    assert claim(box, LATER - MICROSECOND) == []
    (second,) = claim(box, LATER, until=LATER + SECOND)
    assert second.event == first.event
    assert second.lease != first.lease
    assert second.attempts == 0


def test_acknowledged_events_are_gone(box: Box) -> None:
    events = put(box, 2)
    first, second = claim(box)
    box.outbox.acknowledge([first])
    box.outbox.acknowledge([first])
    assert box.outbox.backlog() == Backlog(1, 0, events[1].happened_at)
    assert events_of(claim(box, LATER)) == [second.event]


def test_events_are_acknowledged_also_after_the_lease(box: Box) -> None:
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


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_an_aggregate_is_dispatched_in_order(box: Box, limit: int) -> None:
    events = put(box, 5, "one")
    assert dispatch_all(box, limit=limit) == events


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_aggregates_are_dispatched_side_by_side(box: Box, limit: int) -> None:
    events = [event(f"a{turn % 3}", NOW - MICROSECOND * (12 - turn)) for turn in range(12)]
    for one in events:
        box.put(one)
    dispatched = dispatch_all(box, limit=limit)
    assert len(dispatched) == len(events)
    for aggregate in ("a0", "a1", "a2"):
        assert [one for one in dispatched if one.aggregate == aggregate] == [
            one for one in events if one.aggregate == aggregate
        ]


def test_nothing_overtakes_a_leased_event(box: Box) -> None:
    events = put(box, 2, "one")
    claims = claim(box, limit=1)
    assert events_of(claims) == events[:1]
    late = event("one", NOW - SECOND)
    box.put(late)
    others = put(box, 1)
    assert events_of(claim(box)) == others
    box.outbox.acknowledge(claims)
    assert dispatch_all(box) == [events[1], late]


def test_nothing_overtakes_a_postponed_event(box: Box) -> None:
    events = put(box, 2, "one")
    (first,) = claim(box, limit=1)
    box.outbox.postpone(first, due=LATER, attempts=1)
    others = put(box, 2)
    assert dispatch_all(box, LATER - MICROSECOND) == others
    assert dispatch_all(box, LATER) == events


def test_nothing_overtakes_a_released_event(box: Box) -> None:
    events = put(box, 3, "one")
    box.outbox.release(claim(box))
    assert dispatch_all(box) == events


def test_release_gives_back_at_once(box: Box) -> None:
    events = put(box, 3)
    (first, *rest) = claim(box)
    box.outbox.postpone(first, due=NOW, attempts=2)
    (again,) = claim(box)
    box.outbox.release([again, *rest])
    claims = claim(box)
    assert sorted(events_of(claims), key=str) == sorted(events, key=str)
    assert {one.event: one.attempts for one in claims} == {events[0]: 2, events[1]: 0, events[2]: 0}


def test_release_leaves_events_that_others_hold(box: Box) -> None:
    put(box, 2)
    late = claim(box)
    (current,) = claim(box, LATER, until=LAST, limit=1)
    box.outbox.release(late)
    assert current.event not in events_of(claim(box, LATER))
    assert current.event in events_of(claim(box, LAST))


def test_postpone_waits_until_due_and_counts(box: Box) -> None:
    put(box, 1)
    (first,) = claim(box)
    box.outbox.postpone(first, due=NOW + SECOND, attempts=4)
    assert claim(box, NOW + SECOND - MICROSECOND) == []
    (second,) = claim(box, NOW + SECOND)
    assert (second.event, second.attempts) == (first.event, 4)


def test_postpone_does_nothing_when_another_holds_the_lease(box: Box) -> None:
    put(box, 1)
    (late,) = claim(box)
    claim(box, LATER, until=LATER + SECOND)
    box.outbox.postpone(late, due=LAST, attempts=9)
    assert claim(box, LATER) == []
    (again,) = claim(box, LATER + SECOND)
    assert again.attempts == 0


def test_an_expired_lease_counts_until_another_is_given(box: Box) -> None:
    put(box, 1)
    (late,) = claim(box, until=NOW + SECOND)
    box.outbox.postpone(late, due=LATER, attempts=1)
    assert claim(box, LATER - MICROSECOND) == []
    assert claim(box, LATER)[0].attempts == 1


def test_a_dead_lettered_event_lets_its_aggregate_go_on(box: Box) -> None:
    events = put(box, 3, "one")
    (first,) = claim(box, limit=1)
    reason = "ValueError: \u00e4 \U0001f600 'x'\n" + "y" * 3000
    box.outbox.dead_letter(first, reason=reason, attempts=7, now=NOW + SECOND)
    assert dispatch_all(box, LAST) == events[1:]
    assert box.outbox.dead_letters(limit=9) == [DeadLetter(events[0], 7, reason, NOW + SECOND)]
    assert box.outbox.backlog() == Backlog(0, 1, None)


def test_dead_letters_are_listed_by_the_time_of_dead_lettering(box: Box) -> None:
    events = put(box, 3)
    for one, after in zip(claim(box), (3, 1, 2), strict=True):
        box.outbox.dead_letter(one, reason="r", attempts=1, now=NOW + SECOND * after)
    assert [one.event for one in box.outbox.dead_letters(limit=9)] == [events[1], events[2], events[0]]
    assert [one.event for one in box.outbox.dead_letters(limit=2)] == [events[1], events[2]]


def test_dead_letter_does_nothing_when_another_holds_the_lease(box: Box) -> None:
    put(box, 1)
    (late,) = claim(box)
    (current,) = claim(box, LATER, until=LAST)
    box.outbox.dead_letter(late, reason="r", attempts=9, now=LATER)
    assert box.outbox.dead_letters(limit=9) == []
    box.outbox.dead_letter(current, reason="s", attempts=1, now=LATER)
    assert [one.reason for one in box.outbox.dead_letters(limit=9)] == ["s"]


def test_replay_makes_them_due_as_new(box: Box) -> None:
    events = put(box, 3)
    for one in claim(box):
        box.outbox.dead_letter(one, reason="r", attempts=5, now=NOW)
    assert box.outbox.replay([], now=LATER) == 0
    assert box.outbox.replay([uuid4()], now=LATER) == 0
    assert box.outbox.replay([events[1].id, uuid4()], now=LATER) == 1
    assert box.outbox.replay([events[1].id], now=LATER) == 0
    assert claim(box, LATER - MICROSECOND) == []
    (again,) = claim(box, LATER, until=LAST)
    assert (again.event, again.attempts) == (events[1], 0)
    assert box.outbox.replay(None, now=LATER) == 2
    assert box.outbox.dead_letters(limit=9) == []
    assert sorted(events_of(claim(box, LATER)), key=str) == sorted([events[0], events[2]], key=str)


def test_a_replayed_event_comes_before_the_later_ones(box: Box) -> None:
    events = put(box, 3, "one")
    (first,) = claim(box, limit=1)
    box.outbox.dead_letter(first, reason="r", attempts=5, now=NOW)
    box.outbox.replay([first.event.id], now=LATER)
    assert dispatch_all(box, LATER) == events


def test_the_backlog_counts_waiting_and_dead_lettered_events(box: Box) -> None:
    events = put(box, 5)
    first, second, third, *_ = claim(box)
    box.outbox.postpone(second, due=LAST, attempts=1)
    box.outbox.dead_letter(third, reason="r", attempts=1, now=NOW)
    assert box.outbox.backlog() == Backlog(4, 1, events[0].happened_at)
    box.outbox.acknowledge([first])
    assert box.outbox.backlog() == Backlog(3, 1, events[1].happened_at)


def test_two_claimers_never_hold_the_same(box: Box) -> None:
    for _ in range(5):
        events = put(box, 12)
        found = in_threads([partial(claim, box, limit=5)] * 4)
        held = [one.event.id for claims in found for one in claims]
        assert len(held) == len(set(held))
        dispatched = {*held, *(one.id for one in dispatch_all(box))}
        assert dispatched == {one.id for one in events}
        for claims in found:
            box.outbox.acknowledge(claims)


def test_many_claimers_and_writers_lose_nothing_and_keep_the_order(box: Box) -> None:
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
        assert of(log, aggregate) == of(written, aggregate)
