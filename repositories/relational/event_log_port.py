"""The log of events that leave the system, and the cursor of each sink in it.

An event is appended once, before its handlers run and whether or not they succeed. Positions follow the order of the
commits, which is the order in which the relay claimed the events. So a sink can read the log by "position > mine",
which does not work on an outbox.
"""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.records.events import Event


class Logged(Struct, frozen=True, gc=False):
    position: int
    event: Event


class Envelopes(Struct, frozen=True):
    """Envelopes by the ids of their events, complete except for the positions. `made_by` names what built them."""

    made_by: str
    of: Mapping[UUID, bytes]


# A logged event as it is sent: position, aggregate, envelope. The envelope is None if the event was appended without
# one, or with one of another `made_by`. A tuple, as the driver returns it: thousands are read within 10 ms.
Ready = tuple[int, str, bytes | None]


class Cursor(Struct, frozen=True):
    """The right to serve a sink while the lease lasts. Every event up to `position` was sent, set aside, or not
    wanted.

    `attempts` counts the failed tries of the next event; the first of them was at `tried_since`. Nothing was sent since
    `failing_since`. Both times are None when nothing has failed.
    """

    sink: str
    position: int
    attempts: int
    lease: UUID
    tried_since: datetime | None = None
    failing_since: datetime | None = None


class SinkState(Struct, frozen=True):
    """`waiting` events are still to be sent, the oldest logged at `oldest`; `reason` is why the last try failed.

    A disabled sink is not served, and no events are kept for it.
    """

    sink: str
    position: int
    waiting: int
    oldest: datetime | None
    dead_lettered: int
    reason: str | None
    failing_since: datetime | None = None
    disabled_at: datetime | None = None


class SinkDeadLetter(Struct, frozen=True):
    """An event that the sink refuses. The log keeps it while this exists. `again`: it is to be sent once more."""

    sink: str
    logged: Logged
    reason: str
    dead_lettered_at: datetime
    again: bool = False


class EventLog(Protocol):
    """Times and leases are by the store's clock. Every method is atomic."""

    @abstractmethod
    def register(self, sink: str) -> None:
        """Create the cursor of a new sink, before the oldest event in the log. Idempotent."""

    @abstractmethod
    def claim(self, sink: str, *, lease: timedelta) -> Cursor | None:
        """Lease the sink. None while it is leased, has to wait, is disabled or is not registered."""

    @abstractmethod
    def after(self, position: int, *, limit: int) -> list[Logged]:
        """Events by ascending position, strictly above `position`. None is ever inserted below a returned one."""

    @abstractmethod
    def ready(self, position: int, *, limit: int, made_by: str) -> Sequence[Ready]:
        """The same events as `after`, with the envelopes that `made_by` built."""

    @abstractmethod
    def advance(self, cursor: Cursor, position: int, *, lease: timedelta, delivered: bool = True) -> Cursor | None:
        """Record that all events up to `position` are done: reset the failed tries and renew the lease.

        With `delivered` False all of them were set aside or not wanted, so the sink keeps its `failing_since`. Returns
        None and changes nothing when the lease was lost: another worker serves the sink, or it was rewound.
        """

    @abstractmethod
    def release(
        self,
        cursor: Cursor,
        *,
        wait: timedelta,
        attempts: int = 0,
        reason: str | None = None,
        disabled: bool = False,
    ) -> None:
        """End the lease. The sink can be claimed after `wait`, or not at all if `disabled`. Fenced as `advance` is."""

    @abstractmethod
    def states(self) -> list[SinkState]:
        """The state of every sink, by name. `waiting` is counted up to 100,000."""

    @abstractmethod
    def dead_letters(self, sink: str, *, after: int, limit: int) -> list[SinkDeadLetter]:
        """The sink's dead letters by ascending position, strictly above `after`."""


class EventLogWrites(Protocol):
    @abstractmethod
    def append(self, events: Sequence[Event], envelopes: Envelopes | None = None) -> None:
        """Append events in this order. An event that is in the log already stays unchanged, at its position.

        Appends are serialized from here to the commit, so do nothing slow in between.
        """

    @abstractmethod
    def dead_letter(self, cursor: Cursor, position: int, reason: str) -> bool:
        """Set an event aside that the sink refuses; `reason` is that of its last try.

        Returns False and changes nothing when the lease was lost.
        """

    @abstractmethod
    def settle(self, sink: str, positions: Collection[int]) -> None:
        """Remove dead letters that were sent after all, or were given up. Idempotent."""

    @abstractmethod
    def switch(self, sink: str, *, on: bool) -> bool:
        """Enable the sink, to be served at once from its position, or disable it. False for an unknown sink."""

    @abstractmethod
    def rewind(self, sink: str, *, since: datetime) -> int | None:
        """Send again all events logged at `since` or later, in order. The worker that serves the sink loses its lease.

        The dead letters among these events are removed, also one that the worker sets aside at the same moment. A sink
        that has not reached `since` keeps its position. Returns the position; None for an unknown sink.
        """

    @abstractmethod
    def retry(self, sink: str) -> int:
        """Mark all dead letters of a sink to be sent once more. Returns how many there are."""

    @abstractmethod
    def forget(self, sink: str) -> bool:
        """Remove the cursor and the dead letters of a sink that no longer exists, also one that a worker sets aside at
        the same moment. Returns whether it had a cursor.
        """

    @abstractmethod
    def sweep(self, *, kept: timedelta, limit: int) -> int:
        """Remove up to `limit` events older than `kept` that every enabled sink is past and none has set aside.

        Returns how many.
        """
