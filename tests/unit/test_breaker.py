"""The breaker around the cache: what an outage costs, and that no old value returns after it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, Value
from repositories.hot.breaker import REMEMBERED, Breaker
from repositories.hot.embedded.cache import EmbeddedCache
from tests.contracts.read_through.post_source import FailingCache

CALLS: dict[str, Callable[[Cache], object]] = {
    "read": lambda cache: cache.read(["key"]),
    "lease": lambda cache: cache.lease({"key": b""}),
    "fill": lambda cache: cache.fill({"key": Fill(b"lease", Value(b""), 60)}),
    "release": lambda cache: cache.release({"key": b"lease"}),
    "drop": lambda cache: cache.drop(["key"]),
}
EVERYTHING = {*CALLS, "void"}


class Process:
    """The breaker of one process over a shared store. `down` are the calls that fail for this process."""

    def __init__(self, store: EmbeddedCache) -> None:
        self.now = 100.0
        self.wire = FailingCache(store)
        self.cache = Breaker(cast("Cache", self.wire), failures=3, interval=1.0, clock=lambda: self.now)

    @property
    def down(self) -> set[str]:
        return self.wire.down

    def sent(self) -> list[str]:
        """The calls since the last time, without `outwait` and `place`, which ask no server."""
        calls, self.wire.calls = self.wire.calls, []
        return [call for call in calls if call not in {"outwait", "place"}]

    def fails(self, call: Callable[[Cache], object]) -> list[str]:
        self.sent()
        with pytest.raises(Unavailable):
            call(self.cache)
        return self.sent()

    def read(self, key: str = "key") -> bytes | None:
        [held] = self.cache.read([key])
        return held.value.body if held else None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedCache]:
    cache = EmbeddedCache(f"sqlite:///{tmp_path / 'hot.db'}")
    cache.migrate()
    yield cache
    cache.close()


@pytest.fixture
def process(store: EmbeddedCache) -> Process:
    return Process(store)


def keep(cache: Cache, key: str = "key", body: bytes = b"old") -> None:
    [mine] = cache.lease({key: b""})
    assert isinstance(mine, bytes)
    cache.fill({key: Fill(mine, Value(body), 60)})


def test_calls_pass_while_the_cache_works(process: Process) -> None:
    keep(process.cache)
    assert process.read() == b"old"
    assert process.sent() == ["lease", "fill", "read"]
    process.cache.void()
    assert process.read() is None
    process.cache.ping()
    assert process.cache.migrate() == []


def test_a_failed_drop_waits_for_the_read_leases_of_others(process: Process) -> None:
    process.down.update(EVERYTHING)
    for n in range(6):
        process.sent()
        with pytest.raises(Unavailable):
            process.cache.drop([f"key {n}"])
        assert "outwait" in process.wire.calls


@pytest.mark.parametrize("name", CALLS)
def test_after_a_few_failures_only_drops_are_tried(process: Process, name: str) -> None:
    process.down.update(EVERYTHING)
    assert [len(process.fails(CALLS[name])) for _ in range(3)] == [1, 1, 1]
    for _ in range(50):
        for asked, call in CALLS.items():
            assert len(process.fails(call)) == (asked == "drop")


def test_a_drop_is_tried_though_the_breaker_is_open(process: Process, store: EmbeddedCache) -> None:
    """So other processes read the new value at once, not only after this process has reached the store again."""
    keep(store)
    process.down.update(EVERYTHING)
    for _ in range(3):
        process.fails(CALLS["read"])
    process.down.clear()
    process.cache.drop(["key"])
    assert store.read(["key"]) == [None]


def test_owed_drops_are_delivered_without_another_call(process: Process, store: EmbeddedCache) -> None:
    keep(store)
    process.down.update(EVERYTHING)
    for _ in range(5):
        process.fails(CALLS["drop"])
    assert process.cache.pay() is False
    process.down.clear()
    assert process.cache.pay() is True
    assert store.read(["key"]) == [None]
    assert process.read() is None


def test_a_thread_delivers_drops_while_any_are_owed(store: EmbeddedCache) -> None:
    paid, wire = threading.Semaphore(0), FailingCache(store)
    cache = Breaker(cast("Cache", wire), pay_every=0.01)
    inner = store.drop

    def drop(keys: list[str]) -> None:
        inner(keys)
        paid.release()

    store.drop = drop  # type: ignore[method-assign, assignment]  # to be woken by it
    for key in ("one", "two"):
        keep(store, key)
        wire.down.update(EVERYTHING)
        with pytest.raises(Unavailable):
            cache.drop([key])
        wire.down.clear()
        assert paid.acquire(timeout=10)
        assert store.read([key]) == [None]
    cache.close()


def test_one_call_each_interval_is_let_through(process: Process) -> None:
    process.down.update(EVERYTHING)
    for _ in range(3):
        process.fails(CALLS["read"])
    for _ in range(4):
        process.now += 1
        assert sum(len(process.fails(CALLS["read"])) for _ in range(20)) == 1
    process.now += 1
    process.down.clear()
    assert process.read() is None
    assert [process.read() for _ in range(3)] == [None] * 3
    assert process.sent() == ["void", "read", "read", "read", "read"]


def test_failures_that_are_not_in_a_row_do_not_open_it(process: Process) -> None:
    for _ in range(5):
        process.down.add("read")
        for _ in range(2):
            assert process.fails(CALLS["read"]) == ["read"]
        process.down.clear()
        process.read()


def test_only_one_of_many_threads_tries(process: Process) -> None:
    process.down.update(EVERYTHING)
    for _ in range(3):
        process.fails(CALLS["read"])
    process.now += 1
    start = threading.Barrier(16)

    def ask(_: int) -> None:
        start.wait()
        with pytest.raises(Unavailable):
            process.cache.read(["key"])

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(ask, range(16)))
    assert len(process.sent()) == 1


def test_a_drop_that_failed_is_delivered_before_anything_is_read(process: Process, store: EmbeddedCache) -> None:
    keep(store)
    keep(store, "other")
    process.down.add("drop")
    assert process.fails(CALLS["drop"]) == ["drop"]
    for name in ("read", "lease", "fill", "read"):
        assert process.fails(CALLS[name]) in (["drop"], [])
    process.now += 1
    process.down.clear()
    assert process.read() is None
    assert process.read("other") is None, "the silence was long enough to distrust all"
    assert process.sent() == ["void", "drop", "read", "read"]
    keep(process.cache)
    assert process.read() == b"old"


def test_after_a_short_outage_only_owed_keys_are_dropped(process: Process, store: EmbeddedCache) -> None:
    keep(store)
    keep(store, "other")
    process.read()
    process.down.add("drop")
    process.fails(CALLS["drop"])
    process.now += 0.1
    process.down.clear()
    assert process.read() is None
    assert process.read("other") == b"old"


def test_a_drop_that_fails_during_the_delivery_stays_owed(process: Process, store: EmbeddedCache) -> None:
    process.down.add("drop")
    process.fails(CALLS["drop"])
    process.down.clear()
    inner_drop, failing = store.drop, [True]

    def drop(keys: list[str]) -> None:
        """During the delivery of owed drops another writer fails to drop the same key, and so owes it again."""
        inner_drop(keys)
        if failing:
            failing.clear()
            keep(store)
            with pytest.raises(Unavailable):
                process.cache.drop(["key"])

    store.drop = drop  # type: ignore[method-assign, assignment]  # a step in between
    assert process.read() == b"old", "it began before that drop"
    assert process.read() is None


def test_others_that_noticed_the_outage_read_no_earlier_values(store: EmbeddedCache) -> None:
    writer, reader = Process(store), Process(store)
    keep(store)
    assert reader.read() == b"old"
    writer.down.update(EVERYTHING)
    reader.down.update(EVERYTHING)
    writer.fails(CALLS["drop"])
    reader.fails(CALLS["read"])
    reader.now += 1
    reader.down.clear()
    assert reader.read() is None


def test_more_drops_than_can_be_remembered_void_everything(process: Process, store: EmbeddedCache) -> None:
    keep(store)
    keep(store, "other")
    process.down.add("drop")
    process.fails(lambda cache: cache.drop(["key", *map(str, range(REMEMBERED))]))
    process.down.clear()
    assert process.read() is None
    assert process.sent() == ["void", "read"]
    assert process.read("other") is None
    assert process.sent() == ["read"]


def test_ping_asks_the_store_whatever_the_state(process: Process) -> None:
    process.down.update(EVERYTHING)
    for _ in range(3):
        process.fails(CALLS["read"])
    process.cache.ping()
    process.down.add("ping")
    with pytest.raises(Unavailable):
        process.cache.ping()
