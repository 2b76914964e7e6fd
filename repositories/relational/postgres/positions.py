"""How far a server's log (WAL) is, and what that says: of a write, of a replica's lag, of writes that were lost.

Locations (LSNs) of different timelines are not comparable beyond the point where one left the other.
"""

import contextlib
import threading
import time
from collections import deque
from datetime import datetime

import psycopg
from msgspec import Struct
from sqlalchemy import Connection

from repositories import meter, seen
from repositories.postgres.deadline import BoundedConnection
from repositories.relational.postgres.errors import ROLE
from repositories.seen import LATEST_SECONDS, ReplicaState

SAMPLES = 256
# A standby says which timeline it gets to roles that may read all statistics. To others it says that of its last
# restart point: late, and never too high. A promoted one's replay location stands still.
_STATE = """
SELECT pg_postmaster_start_time(), pg_is_in_recovery(),
  CASE WHEN pg_is_in_recovery() THEN coalesce(
      (SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()))
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
  (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint
"""
# One simple query: the second statement runs after the commit. Within the transaction a location may be passed by a
# replica before the commit is written. What is not flushed yet is inserted.
_COMMIT = """COMMIT;
SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int,
  (CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn()
    ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint"""
_HISTORY = "SELECT pg_read_file('pg_wal/' || lpad(to_hex(%s::int), 8, '0') || '.history', true)"


class LogState(Struct, frozen=True):
    """`location` in bytes; `started` is when the server's process began, `at` when it was asked (monotonic). `follows`:
    it is a standby.
    """

    started: datetime
    timeline: int
    location: int
    at: float
    follows: bool = False

    @property
    def position(self) -> str:
        return position_of(self.timeline, self.location)

    def has(self, position: str) -> bool:
        """Whether the write of this position is there; true of "". The timeline must be the position's or newer."""
        return position[:8] <= self.position[:8] and position[8:] <= self.position[8:]

    def shares(self, primary: "LogState | None") -> bool:
        """Whether its history is the primary's: it is the same server, or a standby that has got to its timeline. One
        that was promoted beside it has a later timeline, or by now another history under the same number.
        """
        if primary is None or self.timeline != primary.timeline:
            return False
        return self.follows or self.started == primary.started


def position_of(timeline: int, location: int) -> str:
    return f"{timeline:08x}{location:016x}"


def asked(connection: BoundedConnection) -> LogState:
    """Outside of a transaction. Raises `psycopg.Error`."""
    row = connection.row_alone(_STATE)
    if row is None:
        raise psycopg.OperationalError("the server does not say how far it is")
    started, follows, timeline, location = row
    return LogState(started, timeline or 0, location or 0, time.monotonic(), follows)


def commit(connection: Connection) -> str:
    """Commit, and return the position after it. One round trip."""
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101  - it is in use
    try:
        with driver.cursor() as cursor:
            cursor.execute(_COMMIT, prepare=False)
            cursor.nextset()
            timeline, location = cursor.fetchone()
    except psycopg.Error as error:
        if driver.closed:
            connection.invalidate(error)
        raise
    # Sends nothing: SQLAlchemy has to know.
    connection.commit()
    return position_of(timeline, location)


class PrimaryLog:
    """Where the primary was in the last half minute, and where its former timelines ended. Thread-safe."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES)
        self._ends: dict[int, int] = {}
        self._guard = threading.Lock()
        self.state: LogState | None = None

    def note(self, state: LogState, connection: BoundedConnection) -> None:
        with self._guard:
            before = self.state
            if before is None or before.timeline != state.timeline:
                self._ends = _ends(state, before, connection)
                self._samples.clear()
            self._samples.append((state.at, state.location))
            self.state = state

    def lag(self, replica: LogState) -> ReplicaState:
        """`lag_seconds` is since the primary was where the replica is, and None for more than is remembered."""
        samples = list(self._samples)
        if not samples:
            return ReplicaState(serves=False)
        behind = max(0, samples[-1][1] - replica.location)
        passed = next((at for at, location in reversed(samples) if location <= replica.location), None)
        seconds = None if passed is None else time.monotonic() - passed if behind else 0.0
        return ReplicaState(seconds is not None and seconds <= LATEST_SECONDS, seconds, behind)

    def lost(self, position: str) -> bool:
        """Whether the write of this position was on a timeline that ended before it."""
        timeline, location = int(position[:8], 16), int(position[8:], 16)
        return (
            self.state is not None and timeline < self.state.timeline and location > self._ends.get(timeline, location)
        )


def check_lost(log: PrimaryLog, mine: seen.Seen) -> None:
    """Count a write of this client that a failover has lost, once: its position becomes the present one."""
    position = mine.positions.get(ROLE)
    if position and log.state and log.lost(position):
        meter.counted("lost_tail", 1)
        mine.note(ROLE, log.state.position)


def _ends(state: LogState, before: LogState | None, connection: BoundedConnection) -> dict[int, int]:
    """Where each former timeline ended. To read that the role needs EXECUTE on `pg_read_file(text, boolean)`; without
    it, a bound of the last one is where the next one was first seen.
    """
    with contextlib.suppress(psycopg.Error):
        row = connection.execute(_HISTORY, (state.timeline,), prepare=False).fetchone()
        text: str = (row and row[0]) or ""
        lines = [line.split("\t") for line in text.splitlines() if line and line[0] != "#"]
        if lines:
            return {int(timeline): _location(end) for timeline, end, *_ in lines}
    return {before.timeline: state.location} if before else {}


def _location(text: str) -> int:
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
