"""The contract of `Outbox`: the events of an aggregate stay in order."""

import pytest

from tests.contracts.outbox.outboxes import (
    LATER,
    MICROSECOND,
    SECOND,
    WritableOutbox,
    claim,
    dispatch_all,
    event,
    events_of,
    put,
)
from tests.contracts.relational_store import NOW


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_an_aggregate_is_dispatched_in_order(box: WritableOutbox, limit: int) -> None:
    events = put(box, 5, "one")
    assert dispatch_all(box, limit=limit) == events


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_aggregates_are_dispatched_side_by_side(box: WritableOutbox, limit: int) -> None:
    events = [event(f"a{turn % 3}", NOW - MICROSECOND * (12 - turn)) for turn in range(12)]
    for one in events:
        box.put(one)
    dispatched = dispatch_all(box, limit=limit)
    assert len(dispatched) == len(events)
    for aggregate in ("a0", "a1", "a2"):
        assert [one for one in dispatched if one.aggregate == aggregate] == [
            one for one in events if one.aggregate == aggregate
        ]


def test_nothing_overtakes_a_leased_event(box: WritableOutbox) -> None:
    events = put(box, 2, "one")
    claims = claim(box, limit=1)
    assert events_of(claims) == events[:1]
    late = event("one", NOW - SECOND)
    box.put(late)
    others = put(box, 1)
    assert events_of(claim(box)) == others
    box.outbox.acknowledge(claims)
    assert dispatch_all(box) == [events[1], late]


def test_nothing_overtakes_a_postponed_event(box: WritableOutbox) -> None:
    events = put(box, 2, "one")
    (first,) = claim(box, limit=1)
    box.outbox.postpone(first, due=LATER, attempts=1)
    others = put(box, 2)
    assert dispatch_all(box, LATER - MICROSECOND) == others
    assert dispatch_all(box, LATER) == events


def test_nothing_overtakes_a_released_event(box: WritableOutbox) -> None:
    events = put(box, 3, "one")
    box.outbox.release(claim(box))
    assert dispatch_all(box) == events
