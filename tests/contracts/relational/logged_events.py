"""Events in the log, and sinks that read it, for tests."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from repositories.records.events import Event
from repositories.relational import RelationalStore
from repositories.relational.event_log_port import Cursor, Logged, SinkState
from tests.contracts.relational_store import NOW

LONG, NONE = timedelta(minutes=5), timedelta(0)


def end(store: RelationalStore) -> int:
    positions = [one.position for one in store.event_log.after(0, limit=100_000)]
    return positions[-1] if positions else 0


def event(aggregate: str = "a", event_id: UUID | None = None) -> Event:
    return Event(event_id or uuid4(), "PostEdited", aggregate, NOW, b'{"type":"PostEdited"}\x00\xff')


def append(store: RelationalStore, *events: Event) -> None:
    with store.transaction() as tx:
        tx.event_log.append(events)


def events(logged: Sequence[Logged]) -> list[Event]:
    return [one.event for one in logged]


def registered(store: RelationalStore) -> str:
    name = f"sink-{uuid4()}"
    store.event_log.register(name)
    return name


def claimed(store: RelationalStore, sink: str) -> Cursor:
    cursor = store.event_log.claim(sink, lease=LONG)
    assert cursor
    return cursor


def moved(store: RelationalStore, cursor: Cursor, position: int) -> Cursor:
    cursor_there = store.event_log.advance(cursor, position, lease=LONG)
    assert cursor_there
    return cursor_there


def state_of(store: RelationalStore, sink: str) -> SinkState:
    return next(one for one in store.event_log.states() if one.sink == sink)


def rewound(store: RelationalStore, sink: str, since: datetime) -> int | None:
    with store.transaction() as tx:
        return tx.event_log.rewind(sink, since=since)


def switched(store: RelationalStore, sink: str, *, on: bool) -> bool:
    with store.transaction() as tx:
        return tx.event_log.switch(sink, on=on)


def retried(store: RelationalStore, sink: str) -> int:
    with store.transaction() as tx:
        return tx.event_log.retry(sink)


def forgotten(store: RelationalStore, sink: str) -> bool:
    with store.transaction() as tx:
        return tx.event_log.forget(sink)


def pass_all(store: RelationalStore, position: int) -> None:
    """Advance the cursors of all sinks up to `position`."""
    for state in store.event_log.states():
        rewound(store, state.sink, NOW + timedelta(days=9999))
        moved(store, claimed(store, state.sink), max(position, state.position))


def swept(store: RelationalStore, kept: timedelta = NONE) -> int:
    with store.transaction() as tx:
        return tx.event_log.sweep(kept=kept, limit=1000)
