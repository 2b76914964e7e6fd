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


class Site:
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
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    for store in made.stores:
        store.close()


def test_a_hundred_threads_on_one_cold_key_are_one_load(site: Site) -> None:
    assert set(site.rush()) == {1}
    assert site.source.loads == 1


def test_each_time_it_is_due_it_is_loaded_once(site: Site) -> None:
    site.rush()
    for version in range(2, 6):
        site.now += FRESH * 1.11
        site.source.version = version
        site.source.loads = 0
        assert set(site.rush()) <= {version - 1, version}
        assert site.source.loads == 1
        assert set(site.rush()) == {version}
        assert site.source.loads == 1


def test_a_dropped_key_is_loaded_once_and_its_old_value_not_served(site: Site) -> None:
    site.rush()
    for version in range(2, 6):
        site.source.version = version
        site.source.loads = 0
        site.stores[0].drop([site.kind.key("key")])
        assert set(site.rush()) == {version}
        assert site.source.loads == 1


def test_after_the_stale_time_all_wait_for_one_load(site: Site) -> None:
    site.rush()
    site.now += FRESH * 1.1 + STALE
    site.source.version = 2
    assert set(site.rush()) == {2}
    assert site.source.loads == 2


def test_a_load_that_fails_is_tried_by_the_next_at_once(site: Site) -> None:
    site.source.fails = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            site.version(site.processes[0])
    site.source.fails = False
    assert site.version(site.processes[1]) == 1
    assert site.source.loads == 3


def test_a_due_value_is_served_until_its_stale_time_without_the_source(site: Site) -> None:
    site.version(site.processes[0])
    site.source.fails = True
    site.now += FRESH * 1.1
    assert [site.version(process) for process in site.processes * 2] == [1] * 4
    site.now += STALE
    with pytest.raises(Unavailable):
        site.version(site.processes[0])


def test_an_expensive_value_is_renewed_early_at_random(site: Site) -> None:
    site.version(site.processes[0])
    [held] = site.stores[0].read([site.kind.key("key")])
    assert held
    assert held.value.cost >= 0.05
    site.now += held.left - 2 * held.value.cost
    site.version(site.process(site.stores[0], luck=1 - 2.718281828**-1.9))
    assert site.source.loads == 1
    site.version(site.process(site.stores[0], luck=1 - 2.718281828**-2.1))
    assert site.source.loads == 2
    [held] = site.stores[0].read([site.kind.key("key")])
    assert held
    assert held.left > FRESH / 2


@pytest.mark.parametrize("down", ["read", "lease"])
def test_without_the_cache_loads_at_once_are_limited(site: Site, down: str) -> None:
    process = site.process(FailingCache(site.stores[0], {down}), limit=7)
    assert set(at_once([lambda: site.version(process)] * 40)) == {1}
    assert site.source.most <= 7


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


def test_a_loader_that_never_comes_back_is_replaced(site: Site) -> None:
    key = site.kind.key("key")
    site.stores[1].lease({key: b""})

    def pause(_: float) -> None:
        site.now += 0.3

    process = ReadThrough(site.stores[0], Limit(1, timedelta(seconds=1)), pause=pause)
    assert site.version(process) == 1
    [held] = site.stores[0].read([key])
    assert held, "it was taken over and filled"


def test_a_reader_loads_itself_after_waiting_too_long(site: Site) -> None:
    key, waited = site.kind.key("key"), [0.0]
    site.stores[1].lease({key: b""})

    def pause(seconds: float) -> None:
        waited[0] += seconds

    process = ReadThrough(site.stores[0], Limit(1, timedelta(seconds=1)), clock=lambda: waited[0], pause=pause)
    assert site.version(process) == 1
    assert 2 <= waited[0] < 2.1
    assert site.stores[0].read([key]) == [None], "without a lease nothing is filled"


def test_multi_gets_that_need_each_others_keys_do_not_wait_for_ever(site: Site) -> None:
    keys = [f"key:{n}" for n in range(20)]

    def read(order: int) -> int:
        shifted = keys[order % 20 :] + keys[: order % 20]
        return len(site.processes[order % 2].get(site.kind, shifted))

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
