"""The cache behind its breaker while Redis is frozen, dead and back: few deadlines are spent, nothing stale is read."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, Value, open_cache
from repositories.hot.breaker import Breaker
from repositories.meter import tally
from tests.engines import Engines
from tests.engines.kernel import wait_until
from tests.engines.slack import SLACK

TIMEOUT = timedelta(seconds=0.4)


@pytest.fixture
def own_engines(own_engines: Engines) -> Iterator[Engines]:
    yield own_engines
    own_engines.heal()


@pytest.fixture
def cache(own_engines: Engines) -> Iterator[Cache]:
    store = open_cache(own_engines.cache().url, timeout=TIMEOUT, pool=4)
    yield store
    store.close()


def fails_in_time(call: Callable[[], object]) -> None:
    start = time.monotonic()
    with pytest.raises(Unavailable):
        call()
    assert time.monotonic() - start < TIMEOUT.total_seconds() + SLACK


def lease(cache: Cache, key: str) -> bytes:
    [mine] = cache.lease({key: b""})
    assert isinstance(mine, bytes)
    return mine


def test_a_lease_from_before_a_crash_fills_nothing(own_engines: Engines, cache: Cache) -> None:
    key = f"{uuid4()}"
    mine = lease(cache, key)
    own_engines.cache().kill()
    own_engines.cache().restart()
    assert cache.fill({key: Fill(mine, Value(b"old"), 60)}) == set()
    lease(cache, key)
    assert cache.fill({key: Fill(mine, Value(b"old"), 60)}) == set()
    assert cache.read([key]) == [None]


@pytest.mark.parametrize("fault", ["frozen", "dead"])
def test_an_outage_costs_three_deadlines_and_then_no_calls(own_engines: Engines, cache: Cache, fault: str) -> None:
    guarded, server = Breaker(cache, failures=3, interval=30), own_engines.cache()
    guarded.read(["key"])
    if fault == "frozen":
        server.pause()
    else:
        server.kill()
    for _ in range(3):
        fails_in_time(lambda: guarded.read(["key"]))
    with tally() as asked:
        for _ in range(1_000):
            with pytest.raises(Unavailable):
                guarded.read(["key"])
    assert asked.trips() == {}


def test_values_changed_while_the_cache_was_frozen_are_not_served_after(own_engines: Engines, cache: Cache) -> None:
    """One process could not drop a key. Another one does not get the old value, since it noticed the outage too."""
    another = open_cache(own_engines.cache().url, timeout=TIMEOUT, pool=2)
    writer, reader = Breaker(cache, interval=0.1), Breaker(another, interval=0.1)
    key = f"{uuid4()}"
    cache.fill({key: Fill(lease(cache, key), Value(b"old"), 60)})
    [held] = reader.read([key])
    assert held
    own_engines.cache().pause()
    for call in (partial(writer.drop, [key]), partial(reader.read, [key]), partial(reader.read, [key])):
        fails_in_time(call)
    own_engines.cache().resume()
    assert reader.read([key]) == [None]
    assert writer.read([key]) == [None]
    another.close()


def test_a_fill_that_was_under_way_when_the_cache_froze_stores_nothing_old(own_engines: Engines, cache: Cache) -> None:
    """When the server resumes, it executes the fill and the drop that timed out, in either order."""
    writer, key = Breaker(cache, interval=0.1), f"{uuid4()}"
    mine = lease(cache, key)
    own_engines.cache().pause()
    fails_in_time(lambda: cache.fill({key: Fill(mine, Value(b"old"), 60)}))
    fails_in_time(lambda: writer.drop([key]))
    own_engines.cache().resume()
    assert writer.read([key]) == [None]
    assert cache.read([key]) == [None]


def test_drops_owed_by_an_open_breaker_are_delivered_in_the_background(own_engines: Engines, cache: Cache) -> None:
    """The writer delivers the drop in the background, so a process that made no call during the outage sees it."""
    another = open_cache(own_engines.cache().url, timeout=TIMEOUT, pool=2)
    writer, key = Breaker(cache, failures=2, pay_every=0.1), f"{uuid4()}"
    cache.fill({key: Fill(lease(cache, key), Value(b"old"), 60)})
    own_engines.cache().pause()
    for _ in range(2):
        fails_in_time(lambda: writer.read([key]))
    fails_in_time(lambda: writer.drop([key]))
    own_engines.cache().resume()
    assert wait_until(lambda: another.read([key]) == [None], 5)
    another.close()
    writer.close()
