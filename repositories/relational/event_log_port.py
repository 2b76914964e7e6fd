"""The log of events that leave the system, and the cursor of each sink in it.

An event is appended before its handlers run, once, whatever becomes of them. Positions are in the order of the commits,
and so in the order in which the relay was given the events: a sink reads it by "position > mine", which no outbox can.
"""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.records import Event


class Logged(Struct, frozen=True, gc=False):
    position: int
    event: Event


class Envelopes(Struct, frozen=True):
    """Events as they are sent, but for their positions, by the events' ids. `made_by` names what has made them."""

    made_by: str
    of: Mapping[UUID, bytes]


# A logged event as it is sent: position, aggregate, envelope. None instead of that where the event came with none, or
# with one of another maker. A tuple, as the driver has it: thousands are read in a hundredth of a second.
Ready = tuple[int, str, bytes | None]


class Cursor(Struct, frozen=True):
    """The right to serve a sink, for as long as the lease lasts. It has sent, or set aside, all up to `position`.

    `attempts` counts the failed tries of the event behind it, the first of which was at `tried_since`. Nothing was sent
    since `failing_since`. Both are None where nothing has failed.
    """

    sink: str
    position: int
    attempts: int
    lease: UUID
    tried_since: datetime | None = None
    failing_since: datetime | None = None


class SinkState(Struct, frozen=True):
    """`waiting` events are behind the cursor, the oldest logged at `oldest`; `reason` is why it does not move.

    One that is disabled is not served, and events are not kept for it.
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
    """An event that the sink refuses. The log keeps it as long as this stays. With `again` it is to be sent anew."""

    sink: str
    logged: Logged
    reason: str
    dead_lettered_at: datetime
    again: bool = False


class EventLog(Protocol):
    """Times and leases are by the store's own clock. Every method is one atomic step."""

    @abstractmethod
    def register(self, sink: str) -> None:
        """Give a new sink its cursor, before the oldest event that is kept. Idempotent."""

    @abstractmethod
    def claim(self, sink: str, *, lease: timedelta) -> Cursor | None:
        """None while somebody else serves the sink, or it is to wait, or is disabled, or is not registered."""

    @abstractmethod
    def after(self, position: int, *, limit: int) -> list[Logged]:
        """By ascending position, strictly above this one. Nothing is ever put in before what was returned."""

    @abstractmethod
    def ready(self, position: int, *, limit: int, made_by: str) -> Sequence[Ready]:
        """The same events as `after`, each as `made_by` has made it."""

    @abstractmethod
    def advance(self, cursor: Cursor, position: int, *, lease: timedelta, delivered: bool = True) -> Cursor | None:
        """All up to `position` are sent: no failed tries any more, and the lease is renewed. Where nothing was
        `delivered`, they are set aside or of no interest, and the sink fails as it did.

        None, and nothing done, when the cursor is not ours any more: others serve the sink, or it was rewound.
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
        """Give the sink back, not to be claimed before `wait` is over, or not at all. Fenced as `advance` is."""

    @abstractmethod
    def switch(self, sink: str, *, on: bool) -> bool:
        """Enable it, to be served at once from where it stopped, or disable it. False for an unknown sink."""

    @abstractmethod
    def rewind(self, sink: str, *, since: datetime) -> int | None:
        """Send again all that was logged at `since` or later, in order: whoever serves the sink loses it.

        What of it was set aside is so no more. A sink that has not come as far yet stays where it is. Returns its
        position; None for an unknown sink.
        """

    @abstractmethod
    def retry(self, sink: str) -> int:
        """Mark all dead letters of a sink to be sent once more. Returns how many there are."""

    @abstractmethod
    def forget(self, sink: str) -> bool:
        """Remove the cursor and the dead letters of a sink that is no more. Returns whether there was one."""

    @abstractmethod
    def states(self) -> list[SinkState]:
        """Of every sink, by name. `waiting` is counted up to 100,000."""

    @abstractmethod
    def dead_letters(self, sink: str, *, after: int, limit: int) -> list[SinkDeadLetter]:
        """By ascending position, strictly above `after`."""


class EventLogWrites(Protocol):
    @abstractmethod
    def append(self, events: Sequence[Event], envelopes: Envelopes | None = None) -> None:
        """Log them in this order, behind all that are there. One that is there already stays where it is, as it is.

        Appends are serialized from here to the commit: let nothing slow follow.
        """

    @abstractmethod
    def dead_letter(self, cursor: Cursor, position: int, reason: str) -> bool:
        """Set an event aside that the sink refuses, for the reason of its last try.

        False, and nothing done, when the cursor is not ours any more.
        """

    @abstractmethod
    def settle(self, sink: str, positions: Collection[int]) -> None:
        """Remove dead letters: they were sent after all, or are given up. Idempotent."""

    @abstractmethod
    def sweep(self, *, kept: timedelta, limit: int) -> int:
        """Remove events that are older than this, that every sink has sent and none has set aside. Returns how many."""
