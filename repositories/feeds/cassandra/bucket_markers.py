"""Records which buckets of a timeline are not empty."""

from collections.abc import Iterable
from uuid import UUID

from repositories.feeds.cassandra.link import Link
from repositories.feeds.cassandra.schema import LONGEST_MARKER_TTL
from repositories.feeds.layout import TimelineKind
from repositories.feeds.retention import Retention

# Buckets; about 150 bytes each, so 30 MB.
REMEMBERED = 200_000


class Markers:
    """The markers of one kind of timeline. With a retention they expire, after the entries of their bucket."""

    def __init__(self, link: Link, kind: TimelineKind, retention: Retention | None = None) -> None:
        self._link = link
        self._kind = kind
        self._retention = retention
        self._known = MarkerMemo(REMEMBERED)

    def ensure(self, buckets: Iterable[tuple[UUID, int]], *, together: bool = False) -> None:
        """Write the markers that this process has not written yet. Entries may be written when it returns.

        `together`: one batch per timeline, for several buckets of each.
        """
        missing = self._known.missing(buckets)
        if missing:
            name, rows = f"{self._kind.name}_mark", [self._row(*bucket) for bucket in missing.values()]
            if together:
                self._link.write_together(name, rows, key=1, loading=True)
            else:
                self._link.write(name, rows)
            self._known.add(missing)

    def _row(self, key: UUID, bucket: int) -> tuple[object, ...]:
        # One timestamp for all writers of a marker: of equal timestamps Cassandra keeps the one that expires last.
        row = (key, bucket, bucket * self._kind.width_ms * 1000)
        if self._retention is None:
            return row
        return (*row, min(LONGEST_MARKER_TTL, self._retention.seconds_left(self._kind.end_ms(bucket))))


class MarkerMemo:
    """Remembers at least the `capacity / 2` markers used last.

    In two generations of sets: a used marker moves to the young one; when that is full, the old one is dropped.
    """

    def __init__(self, capacity: int) -> None:
        self._half = capacity // 2
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def missing(self, buckets: Iterable[tuple[UUID, int]]) -> dict[bytes, tuple[UUID, int]]:
        young, old = self._young, self._old
        missing = {}
        for owner, bucket in buckets:
            key = owner.bytes + bucket.to_bytes(4)
            if key in young:
                continue
            if key in old:
                young.add(key)
            else:
                missing[key] = (owner, bucket)
        return missing

    def add(self, keys: Iterable[bytes]) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, set()
        self._young.update(keys)
