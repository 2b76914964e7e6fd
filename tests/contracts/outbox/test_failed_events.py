"""The contract of `Outbox`: postponed and dead-lettered events."""

from uuid import uuid4

from repositories.outbox import Backlog, DeadLetter
from tests.contracts.outbox.outboxes import (
    LAST,
    LATER,
    MICROSECOND,
    SECOND,
    WritableOutbox,
    claim,
    dispatch_all,
    events_of,
    put,
)
from tests.contracts.relational_store import NOW


def test_the_postponed_come_in_the_order_of_their_new_times(box: WritableOutbox) -> None:
    events = put(box, 3)
    for one, wait in zip(claim(box), (3, 1, 2), strict=True):
        box.outbox.postpone(one, due=NOW + SECOND * wait, attempts=1)
    assert events_of(claim(box, NOW + SECOND * 3)) == [events[1], events[2], events[0]]


def test_postpone_waits_until_due_and_counts(box: WritableOutbox) -> None:
    put(box, 1)
    (first,) = claim(box)
    box.outbox.postpone(first, due=NOW + SECOND, attempts=4)
    assert claim(box, NOW + SECOND - MICROSECOND) == []
    (second,) = claim(box, NOW + SECOND)
    assert (second.event, second.attempts) == (first.event, 4)


def test_postpone_does_nothing_when_another_holds_the_lease(box: WritableOutbox) -> None:
    put(box, 1)
    (late,) = claim(box)
    claim(box, LATER, until=LATER + SECOND)
    box.outbox.postpone(late, due=LAST, attempts=9)
    assert claim(box, LATER) == []
    (again,) = claim(box, LATER + SECOND)
    assert again.attempts == 0


def test_a_dead_lettered_event_lets_its_aggregate_go_on(box: WritableOutbox) -> None:
    events = put(box, 3, "one")
    (first,) = claim(box, limit=1)
    reason = "ValueError: \u00e4 \U0001f600 'x'\n" + "y" * 3000
    box.outbox.dead_letter(first, reason=reason, attempts=7, now=NOW + SECOND)
    assert dispatch_all(box, LAST) == events[1:]
    assert box.outbox.dead_letters(limit=9) == [DeadLetter(events[0], 7, reason, NOW + SECOND)]
    assert box.outbox.backlog() == Backlog(0, 1, None)


def test_dead_letters_are_listed_by_the_time_of_dead_lettering(box: WritableOutbox) -> None:
    events = put(box, 3)
    for one, after in zip(claim(box), (3, 1, 2), strict=True):
        box.outbox.dead_letter(one, reason="r", attempts=1, now=NOW + SECOND * after)
    assert [one.event for one in box.outbox.dead_letters(limit=9)] == [events[1], events[2], events[0]]
    assert [one.event for one in box.outbox.dead_letters(limit=2)] == [events[1], events[2]]


def test_dead_letter_does_nothing_when_another_holds_the_lease(box: WritableOutbox) -> None:
    put(box, 1)
    (late,) = claim(box)
    (current,) = claim(box, LATER, until=LAST)
    box.outbox.dead_letter(late, reason="r", attempts=9, now=LATER)
    assert box.outbox.dead_letters(limit=9) == []
    box.outbox.dead_letter(current, reason="s", attempts=1, now=LATER)
    assert [one.reason for one in box.outbox.dead_letters(limit=9)] == ["s"]


def test_replay_makes_them_due_as_new(box: WritableOutbox) -> None:
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


def test_a_replayed_event_comes_before_the_later_ones(box: WritableOutbox) -> None:
    events = put(box, 3, "one")
    (first,) = claim(box, limit=1)
    box.outbox.dead_letter(first, reason="r", attempts=5, now=NOW)
    box.outbox.replay([first.event.id], now=LATER)
    assert dispatch_all(box, LATER) == events


def test_an_event_that_was_postponed_with_a_reason_waits_from_when_it_is_due(box: WritableOutbox) -> None:
    events = put(box, 2)
    first, second = claim(box)
    box.outbox.postpone(first, due=LATER, attempts=0, reason="not decided yet")
    assert box.outbox.backlog() == Backlog(2, 0, events[1].happened_at)
    box.outbox.acknowledge([second])
    assert box.outbox.backlog() == Backlog(1, 0, LATER)
    (again,) = claim(box, LATER, until=LAST)
    assert (again.event, again.attempts) == (events[0], 0)
    box.outbox.postpone(again, due=LAST, attempts=1)
    assert box.outbox.backlog() == Backlog(1, 0, events[0].happened_at)
    assert box.outbox.dead_letters(limit=9) == []


def test_the_backlog_counts_waiting_and_dead_lettered_events(box: WritableOutbox) -> None:
    events = put(box, 5)
    first, second, third, *_ = claim(box)
    box.outbox.postpone(second, due=LAST, attempts=1)
    box.outbox.dead_letter(third, reason="r", attempts=1, now=NOW)
    assert box.outbox.backlog() == Backlog(4, 1, events[0].happened_at)
    box.outbox.acknowledge([first])
    assert box.outbox.backlog() == Backlog(3, 1, events[1].happened_at)
