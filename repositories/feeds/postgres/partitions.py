"""The partitions of a table, each for a range of UUIDv7 ids: created ahead of time, dropped after the retention.

A partition is created as a table and then attached, because `CREATE TABLE ... PARTITION OF` locks out every reader.
There is no default partition, since attaching another one would scan all rows of the default.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

from msgspec import Struct

from repositories.errors import Contention, Invalid
from repositories.feeds.id_time import EPOCH, HIGHEST, LOWEST, below
from repositories.feeds.layout import DAY_MS, TimelineKind
from repositories.feeds.retention import Retention
from repositories.postgres.database import PostgresDatabase
from repositories.sql import SqlWork

# The most partitions within the retention: every statement opens all that it may need.
MOST = 12
_DROP_TRIES = 5
# Kept short, since other statements wait as long as a drop waits for its lock.
_DROP_SECONDS = "100ms"
_MAKE_SECONDS = "1s"
_BOUND = re.compile(r"(?:FROM|TO) \((?:'([0-9a-f-]{36})'|MINVALUE|MAXVALUE)\)")
_PARTITIONS = """SELECT c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid), i.inhdetachpending
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(?)"""
# Lets one process at a time create partitions.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('partitions of feeds', 0))"


def width_ms(days: int, retention: Retention) -> int:
    """The width of a partition in milliseconds: `days`, or more if there would be too many partitions."""
    return max(days, -(-retention.days // MOST)) * DAY_MS


class Partition(Struct, frozen=True):
    """A partition from `low` (inclusive) to `high` (exclusive).

    `pending`: its detachment was interrupted, which hides its rows.
    """

    name: str
    low: UUID
    high: UUID
    pending: bool


class Partitions:
    """The partitions of one table. `kind` has the width of new ones; `retention` says which have to exist."""

    def __init__(self, database: PostgresDatabase, table: str, kind: TimelineKind, retention: Retention) -> None:
        self._database = database
        self._table = table
        self._kind = kind
        self._retention = retention
        # Buckets that partitions cover completely.
        self._known: set[int] = set()

    def ensure(self, ids: Iterable[UUID]) -> None:
        """Create the missing partitions for rows with these ids. Sends no query about buckets that are known."""
        missing = {self._kind.bucket(one) for one in ids} - self._known
        if missing:
            self._make(missing)
            self._known |= missing

    def forget(self) -> None:
        """Forget the known buckets, because another process has dropped partitions."""
        self._known.clear()

    def due(self) -> list[str]:
        """The names of the partitions that `make_ready` would create."""
        return [name for name, _, _ in self._gaps(self._retention.buckets(self._kind), self._there())]

    def make_ready(self) -> list[str]:
        """Create the missing partitions of the retention and one ahead. Returns the names of the new ones."""
        return self._make(self._retention.buckets(self._kind))

    def drop_expired(self) -> list[str]:
        """Drop expired partitions. Returns their names. One that is in use throughout is left to the next call."""
        horizon = self._retention.horizon()
        return [one.name for one in self._there() if one.high <= horizon and self._dropped(one)]

    def _dropped(self, partition: Partition) -> bool:
        for _ in range(_DROP_TRIES):
            try:
                with self._database.write() as work:
                    work.execute(f"SET LOCAL lock_timeout = '{_DROP_SECONDS}'")
                    work.execute(f"DROP TABLE IF EXISTS {partition.name}")
            except Contention:
                continue
            return True
        return False

    def _make(self, buckets: Iterable[int]) -> list[str]:
        """Create the partitions that are missing for these buckets.

        Each has its own transaction, with the time limit of a call, so that it remains if a later one fails.
        """
        there = self._there()
        missing = [bucket for bucket in sorted(buckets) if self._gaps([bucket], there)]
        return [name for bucket in missing for name in self._made(bucket)]

    def _made(self, bucket: int) -> list[str]:
        with self._database.write() as work:
            work.execute(f"SET LOCAL lock_timeout = '{_MAKE_SECONDS}'")
            work.execute(_LOCK)
            for one in self._there():
                if one.pending:
                    # Until this is done, nothing can be written to its range. Then it is attached again, with its rows.
                    work.execute(f"ALTER TABLE {self._table} DETACH PARTITION {one.name} FINALIZE")
            made = self._gaps([bucket], self._there())
            for name, low, high in made:
                self._attach(work, name, low, high)
        return [name for name, _, _ in made]

    def _attach(self, work: SqlWork, name: str, low: UUID, high: UUID) -> None:
        work.execute(f"CREATE TABLE IF NOT EXISTS {name} (LIKE {self._table} INCLUDING ALL)")
        work.execute(f"ALTER TABLE {self._table} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")

    def _there(self) -> list[Partition]:
        rows = self._database.rows(_PARTITIONS, (self._table,))
        bounds = [(name, _BOUND.findall(bound), pending) for name, bound, pending in rows]
        found = [
            Partition(name, UUID(ends[0]) if ends[0] else LOWEST, UUID(ends[1]) if ends[1] else HIGHEST, pending)
            for name, ends, pending in bounds
            if ends
        ]
        return sorted(found, key=lambda one: one.low)

    def _gaps(self, buckets: Iterable[int], there: list[Partition]) -> list[tuple[str, UUID, UUID]]:
        """The parts of the buckets that no partition covers: name and bounds of each.

        Partitions of earlier settings may have other widths.
        """
        there = [one for one in there if not one.pending]
        return [
            (self._name(low), low, high)
            for bucket in sorted(buckets)
            for low, high in _free(below(bucket * self._kind.width_ms), below(self._kind.end_ms(bucket)), there)
        ]

    def _name(self, low: UUID) -> str:
        try:
            begins = EPOCH + timedelta(milliseconds=low.int >> 80)
        except OverflowError:
            raise Invalid("an id of a time after the year 9999") from None
        return f"{self._table}_{begins:%Y_%m_%d}"


def _free(low: UUID, high: UUID, there: list[Partition]) -> Iterator[tuple[UUID, UUID]]:
    """The parts of a range that none of the partitions, given in order, covers."""
    within = [(max(one.low, low), min(one.high, high)) for one in there if one.low < high and one.high > low]
    for (_, begin), (end, _) in pairwise([(low, low), *within, (high, high)]):
        if begin < end:
            yield begin, end
