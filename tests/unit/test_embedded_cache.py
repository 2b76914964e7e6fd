"""Tests that only the embedded cache allows: its size limit, and times to live by a clock that the test sets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from repositories.hot import Cache, Fill, Value
from repositories.hot.embedded.cache import EmbeddedCache


class Process:
    """The embedded cache with few entries and a clock that the test sets."""

    def __init__(self, path: Path) -> None:
        self.now = 1_000_000.0
        self.cache = EmbeddedCache(f"sqlite:///{path / 'cache.db'}", entries=10, clock=lambda: self.now)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    planned = made.cache.migrate(dry_run=True)
    assert made.cache.migrate() == planned
    yield made
    made.cache.close()


def lease(cache: Cache, key: str) -> bytes:
    [mine] = cache.lease({key: b""})
    assert isinstance(mine, bytes)
    return mine


def store(cache: Cache, key: str, *, fresh: float, stale: float = 0) -> None:
    assert cache.fill({key: Fill(lease(cache, key), Value(b"value"), fresh, stale)}) == {key}


def test_the_cache_is_bounded_and_keeps_the_longest_lived_values(process: Process) -> None:
    store(process.cache, "short", fresh=30)
    keys = [f"long:{n}" for n in range(40)]
    for key in keys:
        store(process.cache, key, fresh=1_000)
    assert process.cache.read(["short"]) == [None]
    assert sum(held is not None for held in process.cache.read(keys)) == 10


def test_leases_are_bounded_too_and_a_lost_one_fills_nothing(process: Process) -> None:
    first = lease(process.cache, "key")
    process.now += 1
    process.cache.lease({f"other:{n}": b"" for n in range(10)})
    assert process.cache.fill({"key": Fill(first, Value(b"value"), 60)}) == set()


def test_a_lease_is_taken_over_and_either_may_fill(process: Process) -> None:
    first = lease(process.cache, "key")
    process.now += 0.9
    assert process.cache.lease({"key": b""}) == [None]
    process.now += 0.1
    second = lease(process.cache, "key")
    assert process.cache.lease({"key": b""}) == [None]
    assert process.cache.fill({"key": Fill(first, Value(b"first"), 60)}) == {"key"}
    assert process.cache.fill({"key": Fill(second, Value(b"second"), 60)}) == set()


def test_a_drop_voids_leases_that_were_taken_over_too(process: Process) -> None:
    first = lease(process.cache, "key")
    process.now += 1
    second = lease(process.cache, "key")
    process.cache.drop(["key"])
    assert process.cache.fill({"key": Fill(first, Value(b"old"), 60)}) == set()
    assert process.cache.fill({"key": Fill(second, Value(b"old"), 60)}) == set()
    third = lease(process.cache, "key")
    assert process.cache.fill({"key": Fill(first, Value(b"old"), 60)}) == set()
    assert process.cache.fill({"key": Fill(third, Value(b"new"), 60)}) == {"key"}


def test_a_generation_expires(process: Process) -> None:
    first = lease(process.cache, "key")
    process.now += 30
    assert process.cache.fill({"key": Fill(first, Value(b"late"), 60)}) == set()
    assert lease(process.cache, "key") != first


def test_values_are_due_within_a_tenth_of_their_time_and_gone_when_the_stale_time_is_over(
    process: Process,
) -> None:
    keys = [f"key:{n}" for n in range(10)]
    for key in keys:
        store(process.cache, key, fresh=100, stale=30)
    process.now += 89.9
    assert all(held and held.left > 0 for held in process.cache.read(keys))
    process.now += 20.2
    held = process.cache.read(keys)
    assert all(one and -21 < one.left <= 0.1 for one in held)
    assert len({one.left for one in held if one}) > 1
    process.now += 30
    assert not any(process.cache.read(keys))
