"""The contract of the event log."""

import threading
from collections.abc import Callable

from repositories.relational import RelationalStore
from repositories.relational.event_log_port import Envelopes, Logged
from tests.contracts.relational.logged_events import (
    LONG,
    append,
    claimed,
    event,
    events,
    forgotten,
    moved,
    registered,
    swept,
)
from tests.contracts.transactions import together


def test_events_come_in_the_order_in_which_they_were_appended(store: RelationalStore, log_end: int) -> None:
    wrote = [event(str(n)) for n in range(5)]
    append(store, *wrote[:3])
    append(store)
    append(store, *wrote[3:])
    logged = store.event_log.after(log_end, limit=9)
    assert events(logged) == wrote
    assert events(store.event_log.after(logged[1].position, limit=2)) == wrote[2:4]


def test_envelopes_are_ready_for_the_version_that_made_them(store: RelationalStore, log_end: int) -> None:
    first, second, third, fourth = event("1"), event("2"), event("3"), event("4")
    append(store, first)
    with store.transaction() as tx:
        tx.event_log.append([second, third], Envelopes("me", {second.id: b"{\x00\xff"}))
        tx.event_log.append([fourth], Envelopes("other", {fourth.id: b"{"}))
        tx.event_log.append([second, first], Envelopes("other", {second.id: b"late", first.id: b"late"}))
    positions = [one.position for one in store.event_log.after(log_end, limit=9)]
    ready = store.event_log.ready(log_end, limit=9, made_by="me")
    assert list(ready) == list(zip(positions, "1234", [None, b"{\x00\xff", None, None], strict=True))
    assert list(store.event_log.ready(positions[0], limit=2, made_by="other")) == list(
        zip(positions[1:3], "23", [None, None], strict=True)
    )
    assert store.event_log.ready(log_end, limit=9, made_by="other")[3][2] == b"{"
    assert events(store.event_log.after(log_end, limit=9)) == [first, second, third, fourth]


def test_an_event_is_logged_once_and_keeps_its_place(store: RelationalStore, log_end: int) -> None:
    first, second = event(), event()
    append(store, first)
    append(store, first, second, first)
    append(store, second, first)
    assert events(store.event_log.after(log_end, limit=9)) == [first, second]


def test_no_event_is_inserted_before_one_already_read(
    new_store: Callable[[], RelationalStore],
) -> None:
    store, writers, each = new_store(), 4, 25
    done = threading.Event()

    def write(name: str) -> None:
        for _ in range(each):
            append(store, event(name), event(name))

    def read() -> list[Logged]:
        seen: list[Logged] = []
        while True:
            over = done.is_set()
            found = store.event_log.after(seen[-1].position if seen else 0, limit=7)
            seen += found
            if over and not found:
                return seen

    seen: list[list[Logged]] = []
    reader = threading.Thread(target=lambda: seen.append(read()))
    reader.start()
    try:
        assert together([lambda n=n: write(str(n)) for n in range(writers)]) == [None] * writers  # type: ignore[misc]
    finally:
        done.set()
        reader.join()
    assert seen[0] == store.event_log.after(0, limit=1000)
    assert len(seen[0]) == writers * each * 2


def test_old_events_are_removed_when_every_sink_has_sent_them(new_store: Callable[[], RelationalStore]) -> None:
    store = new_store()
    slow, quick = registered(store), registered(store)
    append(store, event(), event(), event())
    _, second, third = (one.position for one in store.event_log.after(0, limit=9))
    moved(store, claimed(store, quick), third)
    cursor = moved(store, claimed(store, slow), second)
    assert swept(store, kept=LONG) == 0
    assert swept(store) == 2
    assert [one.position for one in store.event_log.after(0, limit=9)] == [third]
    with store.transaction() as tx:
        tx.event_log.dead_letter(cursor, third, "refused")
    moved(store, cursor, third)
    assert swept(store) == 0
    assert forgotten(store, slow)
    assert not forgotten(store, slow)
    assert swept(store) == 1
    append(store, event())
    assert store.event_log.after(0, limit=9)[0].position > third
