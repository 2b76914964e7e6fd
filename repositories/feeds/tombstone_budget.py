"""Limits the tombstones per bucket of a timeline.

A removal leaves a tombstone, and a page scans all those in its range until compaction drops them.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

Partition = tuple[UUID, int]
# Timelines; about 350 bytes each.
REMEMBERED = 100_000


class TombstoneBudget:
    """`limit` removals per bucket of a timeline, counted in this process.

    Remembers at least the `capacity / 2` timelines used last, in two generations of dicts: when the young one is full
    it becomes the old one, whose entries move back when they are used. A forgotten timeline has its whole budget again.
    """

    def __init__(self, limit: int, capacity: int = REMEMBERED) -> None:
        self._limit = limit
        self._half = capacity // 2
        self._lock = threading.Lock()
        self._young: dict[int, dict[int, int]] = {}
        self._old: dict[int, dict[int, int]] = {}

    @contextlib.contextmanager
    def spend(self, partitions: Sequence[Partition]) -> Iterator[list[bool]]:
        """Yields, per removal, whether it is within the budget. If the block raises, nothing is counted."""
        with self._lock:
            granted = [self._take(*partition) for partition in partitions]
        try:
            yield granted
        except BaseException:
            with self._lock:
                self._give_back(partition for partition, taken in zip(partitions, granted, strict=True) if taken)
            raise

    def spent(self, key: UUID, bucket: int) -> bool:
        with self._lock:
            return self._counts(key).get(bucket, 0) >= self._limit

    def forget(self, key: UUID) -> None:
        """Restore the budget: the timeline's partitions were dropped."""
        with self._lock:
            self._young.pop(key.int, None)
            self._old.pop(key.int, None)

    def _take(self, key: UUID, bucket: int) -> bool:
        counts = self._counts(key)
        used = counts.get(bucket, 0)
        if used >= self._limit:
            return False
        counts[bucket] = used + 1
        return True

    def _give_back(self, partitions: Iterable[Partition]) -> None:
        for key, bucket in partitions:
            counts = self._counts(key)
            counts[bucket] = max(0, counts.get(bucket, 0) - 1)

    def _counts(self, key: UUID) -> dict[int, int]:
        counts = self._young.get(key.int)
        if counts is None:
            counts = self._old.pop(key.int, {})
            if len(self._young) >= self._half:
                self._old, self._young = self._young, {}
            self._young[key.int] = counts
        return counts
