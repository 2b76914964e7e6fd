"""Many readers of one key, in several processes: one load while it is missing, and one each time it is due."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from app.services.pages.kinds import Kind
from app.services.pages.loading import Limit
from app.services.pages.read_through import ReadThrough
from repositories.errors import Unavailable
from repositories.hot import Cache, Value
from repositories.hot.embedded.cache import EmbeddedCache
from tests.contracts.read_through.post_source import FailingCache

THREADS = 100
FRESH, STALE = 100.0, 20.0


class Source:
    """Counts its loads. Each takes a short time, like a query."""

    def __init__(self) -> None:
        self.loads = 0
        self.most = 0
        self.version = 1
        self.fails = False
        self._running = 0
        self._guard = threading.Lock()
        self._waited = threading.Event()

    def load(self, ids: Collection[str]) -> dict[str, Value]:
        with self._guard:
            self.loads += 1
            self._running += 1
            self.most = max(self.most, self._running)
        self._waited.wait(0.05)
        with self._guard:
            self._running -= 1
        if self.fails:
            raise Unavailable("documents")
        return {about: Value(str(self.version).encode(), self.version) for about in ids}


class TwoProcesses:
    """Two processes, each with its own store object, over one file and one clock that the test sets."""

    def __init__(self, path: Path) -> None:
        self.now = 1_000_000.0
        self.source = Source()
        self.kind = Kind("thing", "1", self.source.load, fresh=FRESH, stale=STALE)
        url = f"sqlite:///{path / 'hot.db'}"
        self.stores = [EmbeddedCache(url, clock=lambda: self.now) for _ in range(2)]
        self.stores[0].migrate()
        self.processes = [self.process(store) for store in self.stores]

    def process(self, cache: object, *, luck: float = 0.0, limit: int = 100) -> ReadThrough:
        places = Limit(limit, timedelta(seconds=5))
        return ReadThrough(cast("Cache", cache), places, timedelta(seconds=20), random=lambda: luck)

    def version(self, process: ReadThrough) -> int:
        return process.get(self.kind, ["key"])["key"].version

    def rush(self) -> list[int]:
        """The versions read by a hundred threads that start together, half of them in each process."""
        return at_once([lambda n=n: self.version(self.processes[n % 2]) for n in range(THREADS)])  # type: ignore[misc]


def at_once(work: Sequence[Callable[[], int]]) -> list[int]:
    start = threading.Barrier(len(work))

    def run(one: Callable[[], int]) -> int:
        start.wait()
        return one()

    with ThreadPoolExecutor(len(work)) as threads:
        return list(threads.map(run, work))


@pytest.fixture
def both(tmp_path: Path) -> Iterator[TwoProcesses]:
    made = TwoProcesses(tmp_path)
    yield made
    for store in made.stores:
        store.close()


def test_a_hundred_threads_on_one_cold_key_are_one_load(both: TwoProcesses) -> None:
    assert set(both.rush()) == {1}
    assert both.source.loads == 1


def test_each_time_it_is_due_it_is_loaded_once(both: TwoProcesses) -> None:
    both.rush()
    for version in range(2, 6):
        both.now += FRESH * 1.11
        both.source.version = version
        both.source.loads = 0
        assert set(both.rush()) <= {version - 1, version}
        assert both.source.loads == 1
        assert set(both.rush()) == {version}
        assert both.source.loads == 1


def test_a_dropped_key_is_loaded_once_and_its_old_value_not_served(both: TwoProcesses) -> None:
    both.rush()
    for version in range(2, 6):
        both.source.version = version
        both.source.loads = 0
        both.stores[0].drop([both.kind.key("key")])
        assert set(both.rush()) == {version}
        assert both.source.loads == 1


def test_after_the_stale_time_all_wait_for_one_load(both: TwoProcesses) -> None:
    both.rush()
    both.now += FRESH * 1.1 + STALE
    both.source.version = 2
    assert set(both.rush()) == {2}
    assert both.source.loads == 2


def test_a_load_that_fails_is_tried_by_the_next_at_once(both: TwoProcesses) -> None:
    both.source.fails = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            both.version(both.processes[0])
    both.source.fails = False
    assert both.version(both.processes[1]) == 1
    assert both.source.loads == 3


def test_a_due_value_is_served_until_its_stale_time_without_the_source(both: TwoProcesses) -> None:
    both.version(both.processes[0])
    both.source.fails = True
    both.now += FRESH * 1.1
    assert [both.version(process) for process in both.processes * 2] == [1] * 4
    both.now += STALE
    with pytest.raises(Unavailable):
        both.version(both.processes[0])


def test_an_expensive_value_is_renewed_early_at_random(both: TwoProcesses) -> None:
    both.version(both.processes[0])
    [held] = both.stores[0].read([both.kind.key("key")])
    assert held
    assert held.value.cost >= 0.05
    both.now += held.left - 2 * held.value.cost
    both.version(both.process(both.stores[0], luck=1 - 2.718281828**-1.9))
    assert both.source.loads == 1
    both.version(both.process(both.stores[0], luck=1 - 2.718281828**-2.1))
    assert both.source.loads == 2
    [held] = both.stores[0].read([both.kind.key("key")])
    assert held
    assert held.left > FRESH / 2


@pytest.mark.parametrize("down", ["read", "lease"])
def test_without_the_cache_loads_at_once_are_limited(both: TwoProcesses, down: str) -> None:
    process = both.process(FailingCache(both.stores[0], {down}), limit=7)
    assert set(at_once([lambda: both.version(process)] * 40)) == {1}
    assert both.source.most <= 7


def test_a_load_without_a_slot_in_time_is_unavailable() -> None:
    limit, entered, leave = Limit(1, timedelta(seconds=0.05)), threading.Event(), threading.Event()

    def occupy() -> None:
        with limit, limit:
            entered.set()
            assert leave.wait(10)

    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(occupy)
        assert entered.wait(10)
        with pytest.raises(Unavailable), limit:
            pass
        leave.set()
        job.result()
    with limit:
        pass


def test_a_loader_that_never_comes_back_is_replaced(both: TwoProcesses) -> None:
    key = both.kind.key("key")
    both.stores[1].lease({key: b""})

    def pause(_: float) -> None:
        both.now += 0.3

    process = ReadThrough(both.stores[0], Limit(1, timedelta(seconds=1)), pause=pause)
    assert both.version(process) == 1
    [held] = both.stores[0].read([key])
    assert held, "it was taken over and filled"


def test_a_reader_loads_itself_after_waiting_too_long(both: TwoProcesses) -> None:
    key, waited = both.kind.key("key"), [0.0]
    both.stores[1].lease({key: b""})

    def pause(seconds: float) -> None:
        waited[0] += seconds

    process = ReadThrough(both.stores[0], Limit(1, timedelta(seconds=1)), clock=lambda: waited[0], pause=pause)
    assert both.version(process) == 1
    assert 2 <= waited[0] < 2.1
    assert both.stores[0].read([key]) == [None], "without a lease nothing is filled"


def test_multi_gets_that_need_each_others_keys_do_not_wait_for_ever(both: TwoProcesses) -> None:
    keys = [f"key:{n}" for n in range(20)]

    def read(order: int) -> int:
        shifted = keys[order % 20 :] + keys[: order % 20]
        return len(both.processes[order % 2].get(both.kind, shifted))

    assert set(at_once([lambda n=n: read(n) for n in range(60)])) == {20}  # type: ignore[misc]


def test_keys_are_distinguished_by_their_kind(tmp_path: Path) -> None:
    cache = EmbeddedCache(f"sqlite:///{tmp_path / 'hot.db'}")
    cache.migrate()
    through = ReadThrough(cache)
    lengths: Kind[str] = Kind("length", "1", lambda ids: {i: Value(b"%d" % len(i)) for i in ids}, fresh=60)
    texts: Kind[str] = Kind("text", "1", lambda ids: {i: Value(i.upper().encode()) for i in ids}, fresh=60)
    for _ in range(2):
        assert {i: value.body for i, value in through.get(lengths, ["a", "bc"]).items()} == {"a": b"1", "bc": b"2"}
        assert through.get(texts, ["a"])["a"].body == b"A"
    cache.close()
