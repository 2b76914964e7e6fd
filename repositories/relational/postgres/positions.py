"""How far a server's log (WAL) is, and what that says: of a write, of a replica's lag, of writes that were lost.

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
# It is asked four times a second, and may take a second to answer. Longer than that it is away.
SILENT_SECONDS = 2.0
# A standby says which timeline it gets to roles that may read all statistics. To others it says that of its last
# restart point: late, and never too high. A promoted one's replay location stands still.
_STATE = """
SELECT pg_postmaster_start_time(), pg_is_in_recovery(),
  CASE WHEN pg_is_in_recovery() THEN coalesce(
      (SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()))
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
  (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint
"""
# It runs after the commit. Within the transaction a location may be passed by a replica before the commit is written.
# What is not flushed yet is inserted. As the server has them at hand, with no casts.
_COMMITTED = b"""
SELECT pg_walfile_name(pg_current_wal_insert_lsn()),
  CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn()
    ELSE pg_current_wal_flush_lsn() END"""


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


def parts_of(position: str) -> tuple[int, int]:
    """Timeline and location."""
    return int(position[:8], 16), int(position[8:], 16)


def commit(connection: Connection, sender: Direct, queued: Sequence[Call] = ()) -> str | None:
    """Send what was queued and commit. Returns the position after it; None of a server that has none.

    One round trip, where the sender sends calls together.
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
    # Sends nothing: SQLAlchemy has to know.
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
    """Where the primary was in the last half minute, and where its former timelines ended. Thread-safe."""

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
        """`lag_seconds` is since the primary was where the replica is, and None for more than is remembered.

        Of a primary that does not answer it is not known where it is by now: others may reach it, and write.
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
        """Whether the write of this position was on a timeline that ended before it."""
        timeline, location = parts_of(position)
        return (
            self.state is not None and timeline < self.state.timeline and location > self._ends.get(timeline, location)
        )


def check_lost(log: PrimaryLog, mine: read_your_writes.Seen, known: Callable[[int, int], bool]) -> None:
    """Count a write of this client that a failover has lost, once: its position becomes the present one. `known` says
    whether this process has written it, and counted it.
    """
    position = mine.positions.get(ROLE)
    if position and log.state and log.lost(position):
        if not known(*parts_of(position)):
            meter.counted("lost_tail", 1)
        mine.note(ROLE, log.state.position)


def _ends(state: LogState, before: LogState | None, connection: BoundedConnection) -> dict[int, int]:
    """Where each former timeline ended. Where that cannot be read, a bound of the last one is where the next one was
    first seen.
    """
    found = ends(state.timeline, connection)
    return found if found is not None else {before.timeline: state.location} if before else {}
