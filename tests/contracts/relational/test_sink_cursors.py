"""The contract of the event log: the cursors of sinks, and their dead letters."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from repositories.relational import RelationalStore, Transaction
from repositories.relational.event_log_port import Cursor, Logged
from repositories.relational.postgres.store import PostgresRelational
from tests.contracts.relational.logged_events import (
    LONG,
    NONE,
    append,
    claimed,
    end,
    event,
    events,
    moved,
    pass_all,
    registered,
    retried,
    rewound,
    state_of,
    swept,
    switched,
)
from tests.contracts.transactions import do, sql
from tests.engines.kernel import wait_until

EVER = datetime(2000, 1, 1, tzinfo=UTC)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def test_a_sink_is_claimed_by_one_at_a_time(store: RelationalStore) -> None:
    assert store.event_log.claim("unknown", lease=LONG) is None
    sink = registered(store)
    cursor = claimed(store, sink)
    assert (cursor.sink, cursor.position, cursor.attempts) == (sink, 0, 0)
    store.event_log.register(sink)
    assert store.event_log.claim(sink, lease=LONG) is None
    assert claimed(store, registered(store)).position == 0
    store.event_log.release(moved(store, cursor, 17), wait=NONE)
    assert claimed(store, sink).position == 17


def test_an_expired_lease_changes_nothing(store: RelationalStore) -> None:
    sink = registered(store)
    former = store.event_log.claim(sink, lease=NONE)
    assert former
    cursor = claimed(store, sink)
    assert store.event_log.advance(former, 99, lease=LONG) is None
    store.event_log.release(former, wait=LONG, attempts=3, reason="late")
    with store.transaction() as tx:
        assert not tx.event_log.dead_letter(former, 1, "late")
    assert moved(store, cursor, 5).position == 5
    assert store.event_log.dead_letters(sink, after=0, limit=9) == []


def test_a_sink_that_waits_is_not_claimed(store: RelationalStore) -> None:
    sink = registered(store)
    store.event_log.release(claimed(store, sink), wait=LONG, attempts=2, reason="away")
    assert store.event_log.claim(sink, lease=LONG) is None
    state = state_of(store, sink)
    assert (state.reason, state.position) == ("away", 0)
    assert rewound(store, sink, datetime.now(UTC) + LONG) == 0
    assert claimed(store, sink).attempts == 0
    other = registered(store)
    store.event_log.release(claimed(store, other), wait=NONE, attempts=2, reason="away")
    cursor = claimed(store, other)
    assert cursor.attempts == 2
    moved(store, cursor, 1)
    assert state_of(store, other).reason is None


def test_waiting_and_dead_lettered_events_are_counted(store: RelationalStore, log_end: int) -> None:
    sink = registered(store)
    append(store, event(), event(), event())
    first, second, third = (one.position for one in store.event_log.after(log_end, limit=9))
    cursor = moved(store, claimed(store, sink), first)
    with store.transaction() as tx:
        assert tx.event_log.dead_letter(cursor, second, "too large")
    state = state_of(store, sink)
    assert (state.position, state.waiting, state.dead_lettered) == (first, 2, 1)
    assert state.oldest is not None
    moved(store, cursor, third)
    state = state_of(store, sink)
    assert (state.waiting, state.oldest) == (0, None)


def test_a_sink_is_rewound(store: RelationalStore, log_end: int) -> None:
    append(store, event("a"))
    between = store.now()
    late = event("b")
    append(store, late)
    sink = registered(store)
    assert rewound(store, "unknown", between) is None
    served = moved(store, claimed(store, sink), end(store))
    position = rewound(store, sink, between)
    assert position is not None
    assert events(store.event_log.after(position, limit=9)) == [late]
    assert store.event_log.advance(served, end(store), lease=LONG) is None
    assert rewound(store, sink, store.now() + LONG) == position
    moved(store, claimed(store, sink), log_end)
    assert rewound(store, sink, between) == log_end


def test_a_refused_event_is_kept_until_it_is_settled(store: RelationalStore, log_end: int) -> None:
    sink = registered(store)
    refused = event()
    append(store, refused, event())
    first, last = (one.position for one in store.event_log.after(log_end, limit=9))
    cursor = claimed(store, sink)
    with store.transaction() as tx:
        assert tx.event_log.dead_letter(cursor, first, "too large")
        assert tx.event_log.dead_letter(cursor, first, "again")
    (dead,) = store.event_log.dead_letters(sink, after=0, limit=9)
    assert (dead.sink, dead.logged, dead.reason) == (sink, Logged(first, refused), "again")
    assert store.event_log.dead_letters(sink, after=first, limit=9) == []
    moved(store, cursor, first)
    pass_all(store, last)
    swept(store)
    assert events(store.event_log.after(log_end, limit=9)) == [refused]
    with store.transaction() as tx:
        tx.event_log.settle(sink, [first])
        tx.event_log.settle(sink, [first])
    assert store.event_log.dead_letters(sink, after=0, limit=9) == []


def test_failing_since_is_the_first_failure_after_a_delivery(store: RelationalStore) -> None:
    sink = registered(store)
    cursor = claimed(store, sink)
    assert (cursor.tried_since, cursor.failing_since) == (None, None)
    before = store.now()
    store.event_log.release(cursor, wait=NONE, attempts=1, reason="away")
    first = claimed(store, sink)
    assert first.tried_since
    assert first.failing_since
    assert before <= first.tried_since <= first.failing_since <= store.now()
    store.event_log.release(first, wait=NONE, attempts=2, reason="away")
    again = claimed(store, sink)
    assert (again.attempts, again.tried_since, again.failing_since) == (2, first.tried_since, first.failing_since)
    aside = store.event_log.advance(again, 7, lease=LONG, delivered=False)
    assert aside
    assert (aside.attempts, aside.tried_since, aside.failing_since) == (0, None, first.failing_since)
    assert state_of(store, sink).failing_since == first.failing_since
    sent = store.event_log.advance(aside, 8, lease=LONG)
    assert sent
    store.event_log.release(sent, wait=NONE)
    assert claimed(store, sink).failing_since is None
    assert state_of(store, sink).failing_since is None


def test_a_sink_that_is_disabled_is_not_served(new_store: Callable[[], RelationalStore]) -> None:
    store = new_store()
    sink, other = registered(store), registered(store)
    append(store, event(), event())
    _, last = (one.position for one in store.event_log.after(0, limit=9))
    store.event_log.release(claimed(store, sink), wait=NONE, attempts=1, reason="gone", disabled=True)
    assert store.event_log.claim(sink, lease=LONG) is None
    state = state_of(store, sink)
    assert state.disabled_at
    assert state.reason == "gone"
    moved(store, claimed(store, other), last)
    assert swept(store) == 2, "no events are kept for a disabled sink"
    assert switched(store, sink, on=True)
    cursor = claimed(store, sink)
    assert (cursor.position, cursor.attempts, cursor.failing_since) == (0, 0, None)
    assert switched(store, sink, on=False)
    assert store.event_log.advance(cursor, last, lease=LONG) is None
    assert store.event_log.claim(sink, lease=LONG) is None
    assert not switched(store, "unknown", on=True)


def test_dead_letters_are_marked_to_be_sent_again(store: RelationalStore, log_end: int) -> None:
    sink, other = registered(store), registered(store)
    append(store, event(), event())
    first, second = (one.position for one in store.event_log.after(log_end, limit=9))
    cursor, others = claimed(store, sink), claimed(store, other)
    with store.transaction() as tx:
        assert tx.event_log.dead_letter(cursor, first, "away")
        assert tx.event_log.dead_letter(cursor, second, "away")
        assert tx.event_log.dead_letter(others, first, "away")
    assert retried(store, sink) == 2
    assert [one.again for one in store.event_log.dead_letters(sink, after=0, limit=9)] == [True, True]
    assert [one.again for one in store.event_log.dead_letters(other, after=0, limit=9)] == [False]
    with store.transaction() as tx:
        assert tx.event_log.dead_letter(cursor, first, "still away")
    dead = store.event_log.dead_letters(sink, after=0, limit=9)
    assert [(one.reason, one.again) for one in dead] == [("still away", False), ("away", True)]


def test_rewind_removes_the_dead_letters_that_it_sends_again(store: RelationalStore, log_end: int) -> None:
    sink = registered(store)
    append(store, event())
    between = store.now()
    append(store, event())
    first, second = (one.position for one in store.event_log.after(log_end, limit=9))
    cursor = moved(store, claimed(store, sink), second)
    with store.transaction() as tx:
        assert tx.event_log.dead_letter(cursor, first, "away")
        assert tx.event_log.dead_letter(cursor, second, "away")
    assert rewound(store, sink, between) == first
    assert [one.logged.position for one in store.event_log.dead_letters(sink, after=0, limit=9)] == [first]


class Crash(Exception):
    pass


def crash_after(_done: object) -> None:
    raise Crash


def with_a_dead_letter(store: RelationalStore) -> tuple[Cursor, int]:
    """The cursor of a new sink that is past an event which it refused, and the position of that event."""
    append(store, event())
    position = end(store)
    cursor = moved(store, claimed(store, registered(store)), position)
    with store.transaction() as tx:
        assert tx.event_log.dead_letter(cursor, position, "too large")
    return cursor, position


COMMANDS: dict[str, Callable[[Transaction, str], object]] = {
    "rewind": lambda tx, sink: tx.event_log.rewind(sink, since=EVER),
    "forget": lambda tx, sink: tx.event_log.forget(sink),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_crash_in_a_command_leaves_the_sink_as_it_was(store: RelationalStore, name: str) -> None:
    cursor, position = with_a_dead_letter(store)
    before = state_of(store, cursor.sink)
    with pytest.raises(Crash):
        do(store, lambda tx: crash_after(COMMANDS[name](tx, cursor.sink)))
    assert state_of(store, cursor.sink) == before
    assert [one.logged.position for one in store.event_log.dead_letters(cursor.sink, after=0, limit=9)] == [position]
    assert store.event_log.advance(cursor, position, lease=LONG)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_event_that_is_set_aside_meanwhile_is_no_dead_letter(store: RelationalStore, name: str) -> None:
    """The worker's transaction is open when the command begins, and commits before the command can end."""
    append(store, event())
    sink, position = registered(store), end(store)
    cursor = moved(store, claimed(store, sink), position)
    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as worker:
            assert worker.event_log.dead_letter(cursor, position, "too large")
            command = pool.submit(do, store, lambda tx: COMMANDS[name](tx, sink))
            # SQLite has one writer, so there the command begins after the worker's transaction.
            if isinstance(store, PostgresRelational):
                assert wait_until(lambda: sql(store, WAITING) == [(1,)], 20)
        command.result()
    assert store.event_log.dead_letters(sink, after=0, limit=9) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_worker_of_a_sink_cannot_set_events_aside_after_the_command(store: RelationalStore, name: str) -> None:
    append(store, event())
    sink, position = registered(store), end(store)
    cursor = moved(store, claimed(store, sink), position)
    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as tx:
            COMMANDS[name](tx, sink)
            late = pool.submit(do, store, lambda worker: worker.event_log.dead_letter(cursor, position, "too large"))
        assert late.result() is False
    assert store.event_log.dead_letters(sink, after=0, limit=9) == []
