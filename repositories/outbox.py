"""The relay's side of an outbox. Both truths have one: `relational.outbox` and `documents.outbox`.

Pattern: transactional outbox with row claiming. An outbox is never read by "id > last", since ids are not in
commit order; the relay leases what is unsent, and whoever holds the lease may settle it.
"""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.records import Event


class Claim(Struct, frozen=True):
    """One leased event. `attempts` counts the failed tries before this one; `lease` fences the settlement."""

    event: Event
    attempts: int
    lease: UUID


class ParkedEvent(Struct, frozen=True):
    event: Event
    attempts: int
    reason: str
    parked_at: datetime


class Backlog(Struct, frozen=True):
    """`unsent` events are waiting, the oldest since `oldest`; `parked` are set aside."""

    unsent: int
    parked: int
    oldest: datetime | None


class Outbox(Protocol):
    @abstractmethod
    def claim(self, *, now: datetime, lease_until: datetime, limit: int) -> list[Claim]:
        """Lease up to `limit` events that are due at `now` and not leased, oldest due first.

        An event is handed out only after all earlier events of its aggregate are done or parked, or together
        with them and behind them in the list. Two claimers never hold the same event before `lease_until`.
        A later event of an aggregate is not handed out while an earlier one is leased or postponed.
        """

    @abstractmethod
    def done(self, claims: Sequence[Claim]) -> None:
        """Remove told events. Idempotent; also good after the lease has passed, for told is told."""

    @abstractmethod
    def release(self, claims: Sequence[Claim]) -> None:
        """Give back untouched claims, due as before. Claims whose lease somebody else holds by now are left alone."""

    @abstractmethod
    def postpone(self, claim: Claim, *, due: datetime, attempts: int) -> None:
        """Give the claim back, not to be handed out before `due`, with its new count of failed tries.

        Does nothing when somebody else holds the lease by now.
        """

    @abstractmethod
    def park(self, claim: Claim, *, reason: str, attempts: int, now: datetime) -> None:
        """Set a poisoned event aside. It no longer holds up its aggregate. Fenced as `postpone` is."""

    @abstractmethod
    def parked(self, *, limit: int) -> list[ParkedEvent]:
        """Parked events, oldest first by `parked_at`."""

    @abstractmethod
    def replay(self, event_ids: Sequence[UUID] | None, *, now: datetime) -> int:
        """Make parked events (these, or all) due at `now` again with no failed tries. Returns how many."""

    @abstractmethod
    def backlog(self) -> Backlog:
        """How much waits. Reads an index, never the whole store."""
