"""Counts the removals from each bucket of each timeline, and says when there were enough.

A removal leaves a tombstone, which every page over that place has to pass until compaction drops it.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

Partition = tuple[UUID, int]
# About 350 bytes each.
REMEMBERED = 100_000


class TombstoneBudget:
    """`limit` removals per bucket of a timeline, for the timelines used last: at least half of `capacity`.

    Two generations, as in `markers.MarkerMemo`; a timeline that is forgotten has its whole budget again.
    """

    def __init__(self, limit: int, capacity: int = REMEMBERED) -> None:
        self._limit = limit
        self._half = capacity // 2
        self._lock = threading.Lock()
        self._young: dict[int, dict[int, int]] = {}
        self._old: dict[int, dict[int, int]] = {}

    @contextlib.contextmanager
    def spend(self, partitions: Sequence[Partition]) -> Iterator[list[bool]]:
        """For each removal, whether there is budget for it. What is in the block costs nothing if it fails."""
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
        """The timeline's tombstones are gone."""
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
