"""Positions in a server's log (WAL): of a write, of replicas and their lag, and of writes that a failover has lost.

Locations (LSNs) of different timelines are not comparable beyond the point where one left the other.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime

import psycopg
from msgspec import Struct
from sqlalchemy import Connection

from repositories import meter, read_your_writes
from repositories.driver_statements import Call, Direct
from repositories.postgres.batches import Batches
from repositories.postgres.deadline import BoundedConnection
from repositories.postgres.server_timelines import ends
from repositories.read_your_writes import LATEST_SECONDS, ReplicaState
from repositories.relational.postgres.errors import ROLE

SAMPLES = 256
# The primary is asked four times a second and may take a second to answer. After a longer silence it counts as away.
SILENT_SECONDS = 2.0
# A standby shows the timeline that it receives only to roles that may read all statistics. For other roles it is that
# of its last restart point: late, but never too high. The replay location of a promoted standby stands still.
_STATE = """
SELECT pg_postmaster_start_time(), pg_is_in_recovery(),
  CASE WHEN pg_is_in_recovery() THEN coalesce(
      (SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()))
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
  (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint
"""
# Runs after the commit: a location read within the transaction could be passed by a replica before the commit is
# written. Without synchronous_commit the commit is inserted, but perhaps not flushed. There are no casts, to save the
# server work.
_COMMITTED = b"""
SELECT pg_walfile_name(pg_current_wal_insert_lsn()),
  CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn()
    ELSE pg_current_wal_flush_lsn() END"""


class LogState(Struct, frozen=True):
    """How far a server's log is: `location` is in bytes. `started` is when the server process began, `at` when it was
    asked (monotonic clock). `follows`: it is a standby.
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
        """Whether the server has the write of this position; True for "". False on an older timeline."""
        return position[:8] <= self.position[:8] and position[8:] <= self.position[8:]

    def shares(self, primary: "LogState | None") -> bool:
        """Whether its history is the primary's: it is the same server, or a standby on the same timeline. A server that
        was promoted beside the primary has a later timeline, or another history under the same number.
        """
        if primary is None or self.timeline != primary.timeline:
            return False
        return self.follows or self.started == primary.started


def position_of(timeline: int, location: int) -> str:
    return f"{timeline:08x}{location:016x}"


def asked(connection: BoundedConnection) -> LogState:
    """Ask the server for its state, outside of a transaction. Raises `psycopg.Error`."""
    row = connection.row_alone(_STATE)
    if row is None:
        raise psycopg.OperationalError("the server does not say how far it is")
    started, follows, timeline, location = row
    return LogState(started, timeline or 0, location or 0, time.monotonic(), follows)


def parts_of(position: str) -> tuple[int, int]:
    """The timeline and the location of a position."""
    return int(position[:8], 16), int(position[8:], 16)


def commit(connection: Connection, sender: Direct, queued: Sequence[Call] = ()) -> str | None:
    """Send the queued calls and commit. Returns the position after the commit; None if the server reports none.

    One round trip if the sender sends calls together.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, BoundedConnection)  # noqa: S101  - it is in use
    if not driver.timeline:
        if queued:
            sender.send(connection, queued, lambda _: None)
        connection.commit()
        return None
    try:
        file, location = _committed(driver, sender, queued)
    except psycopg.Error as error:
        if driver.closed:
            connection.invalidate(error)
        raise
    # Sends nothing, but SQLAlchemy must know that the transaction has ended.
    connection.commit()
    high, low = location.split("/")
    return position_of(int(file[:8], 16), int(high, 16) << 32 | int(low, 16))


def _committed(driver: BoundedConnection, sender: Direct, queued: Sequence[Call]) -> tuple[str, str]:
    if isinstance(sender, Batches):
        ((file, location),) = sender.commit(driver, queued, _COMMITTED)
        return file, location
    with driver.cursor() as cursor:
        cursor.execute(b"COMMIT;" + _COMMITTED, prepare=False)
        cursor.nextset()
        ((file, location),) = cursor.fetchall()
    return file, location


class PrimaryLog:
    """Where the primary was during the last `SAMPLES` looks, and where its former timelines ended. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
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
        """The replica's state. `lag_seconds` is the time since the primary was where the replica is; None if that is
        longer ago than the samples.

        The location of a primary that does not answer is unknown: other clients may reach it, and write.
        """
        samples = list(self._samples)
        if not samples:
            return ReplicaState(serves=False)
        behind = max(0, samples[-1][1] - replica.location)
        passed = next((at for at, location in reversed(samples) if location <= replica.location), None)
        seconds = None if passed is None else self._clock() - passed
        if seconds is not None and not behind and seconds <= SILENT_SECONDS:
            seconds = 0.0
        return ReplicaState(seconds is not None and seconds <= LATEST_SECONDS, seconds, behind)

    def lost(self, position: str) -> bool:
        """Whether the write of this position was lost: its timeline ended before it."""
        timeline, location = parts_of(position)
        return (
            self.state is not None and timeline < self.state.timeline and location > self._ends.get(timeline, location)
        )


def check_lost(log: PrimaryLog, mine: read_your_writes.Seen, known: Callable[[int, int], bool]) -> None:
    """Count a write of this client that a failover has lost, once: the client's position becomes the present one.
    `known` says whether this process made the write and has counted it.
    """
    position = mine.positions.get(ROLE)
    if position and log.state and log.lost(position):
        if not known(*parts_of(position)):
            meter.counted("lost_tail", 1)
        mine.note(ROLE, log.state.position)


def _ends(state: LogState, before: LogState | None, connection: BoundedConnection) -> dict[int, int]:
    """Where each former timeline ended. If that cannot be read, an upper bound for the last one: where the next one
    was first seen.
    """
    found = ends(state.timeline, connection)
    return found if found is not None else {before.timeline: state.location} if before else {}
