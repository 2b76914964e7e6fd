"""Where the timelines of a PostgreSQL server ended, and which writes of this process a failover has lost.

Each promotion begins a timeline, at some location (LSN) of the previous one. What was written on the previous timeline
beyond that location is lost, acknowledged or not.
"""

import contextlib
import logging
import threading
from collections import deque

import psycopg

from repositories import meter
from repositories.postgres.deadline import BoundedConnection

log = logging.getLogger(__name__)
# How many writes' locations are remembered; no more are counted as lost.
REMEMBERED = 4096
_HISTORY = "SELECT pg_read_file('pg_wal/' || lpad(to_hex(%s::int), 8, '0') || '.history', true)"
_LOCATION = "SELECT (pg_current_wal_lsn() - '0/0')::bigint"


def ends(timeline: int, connection: BoundedConnection) -> dict[int, int] | None:
    """The ends of the former timelines of a server that is on `timeline` now. Call it outside of a transaction.

    None if that cannot be read: the role needs EXECUTE on `pg_read_file(text, boolean)`.
    """
    with contextlib.suppress(psycopg.Error):
        row = connection.execute(_HISTORY, (timeline,), prepare=False).fetchone()
        text: str = (row and row[0]) or ""
        lines = [line.split("\t") for line in text.splitlines() if line and line[0] != "#"]
        if lines:
            return {int(one): _location(end) for one, end, *_ in lines}
    return None


class Acknowledged:
    """The last writes whose commit was answered to this process, by location. Thread-safe."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._guard = threading.Lock()
        self._timeline = 0
        self._commits: deque[int] = deque(maxlen=REMEMBERED)
        # The location of the log at the last look. Nothing else is known of writes that were not recorded.
        self._looked = 0
        self._lost: frozenset[tuple[int, int]] = frozenset()

    def committed(self, timeline: int, location: int) -> bool:
        """Record a write whose log ends at this location or before. False if the timeline is not known yet."""
        with self._guard:
            if timeline == self._timeline:
                self._commits.append(location)
        return timeline <= self._timeline

    def looked(self, timeline: int, location: int) -> None:
        """Record that the writer's log was flushed up to this location."""
        with self._guard:
            if timeline == self._timeline:
                self._looked = max(self._looked, location)

    def counted(self, timeline: int, location: int) -> bool:
        """Whether this process has counted this write as lost."""
        return (timeline, location) in self._lost

    def connected(self, timeline: int, connection: BoundedConnection) -> None:
        """Record a connection to the writer. If its timeline is later than that of the writes, count the lost ones."""
        if timeline <= self._timeline:
            return
        with self._guard:
            before, commits, looked = self._timeline, list(self._commits), self._looked
            if timeline <= before:
                return
            self._timeline, self._looked = timeline, 0
            self._commits.clear()
        if commits or looked:
            self._compare(before, commits, looked, timeline, connection)

    def _compare(
        self, before: int, commits: list[int], looked: int, timeline: int, connection: BoundedConnection
    ) -> None:
        autocommit, connection.autocommit = connection.autocommit, True
        known = ends(timeline, connection)
        end = known.get(before) if known else None
        if end is None:
            # An upper bound: the next timeline began no later than where it is now.
            with contextlib.suppress(psycopg.Error):
                row = connection.execute(_LOCATION, prepare=False).fetchone()
                end = row[0] if row else None
        if not connection.closed:
            connection.autocommit = autocommit
        gone = [location for location in commits if end is not None and location > end]
        beyond = max([looked, *commits])
        if end is not None and beyond > end:
            self._lost |= {(before, location) for location in gone}
            meter.counted("lost_tail", max(1, len(gone)))
            log.error(
                "%s: a failover has lost the last %d bytes of timeline %d, with %d acknowledged writes of this process",
                self._role,
                beyond - end,
                before,
                len(gone),
            )
        elif known is None:
            log.warning(
                "%s: where timeline %d ended cannot be read, so nobody knows whether a failover has lost writes: "
                "GRANT EXECUTE ON FUNCTION pg_read_file(text, boolean) TO the role",
                self._role,
                before,
            )


def _location(text: str) -> int:
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
