"""The parts of Cassandra's adapter that need no server: what a process remembers, and the form of addresses."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from repositories.feeds.cassandra.bucket_markers import MarkerMemo
from repositories.feeds.cassandra.migrate import copies
from repositories.feeds.tombstone_budget import TombstoneBudget


def test_the_memory_of_removals_is_bounded_and_keeps_used_buckets() -> None:
    budget, used = TombstoneBudget(3, capacity=100), uuid4()
    for round_ in range(50):
        with budget.spend([(uuid4(), 7) for _ in range(10)]) as granted:
            assert all(granted)
        with budget.spend([(used, 7), (used, 8)]) as granted:
            assert granted == [round_ < 3] * 2
    assert len(budget._young) + len(budget._old) <= 100
    assert budget.spent(used, 7)
    assert not budget.spent(used, 9)
    budget.forget(used)
    assert not budget.spent(used, 7)


def test_threads_share_a_budget() -> None:
    budget, partition = TombstoneBudget(1000), (uuid4(), 1)

    def spend(_: int) -> int:
        with budget.spend([partition] * 3) as granted:
            return sum(granted)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(spend, range(2000))) == 1000


def test_the_memory_of_markers_is_bounded_and_keeps_used_buckets() -> None:
    known, used = MarkerMemo(100), (uuid4(), 7)
    for _ in range(50):
        keys = known.missing([(uuid4(), 7) for _ in range(10)] + [used])
        known.add(keys)
        assert not known.missing([used])
    assert len(known._young) + len(known._old) <= 130


def test_replication() -> None:
    assert copies("3", "here") == {"here": 3}
    assert copies("dc1:3, dc2:2", "here") == {"dc1": 3, "dc2": 2}
    for wrong in ("", "x", "-1", "dc1:x", "dc'1:2", "dc1:3,"):
        with pytest.raises(ValueError, match="replication"):
            copies(wrong, "here")
