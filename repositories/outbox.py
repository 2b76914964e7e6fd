"""The relay's side of an outbox. There are two: `relational.outbox` and `documents.outbox`.

Pattern: transactional outbox with row claiming. An outbox is never read by "id > last", since ids are not in
commit order. The relay leases unsent events, and only the holder of the lease may change them.
"""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

from repositories.records import Event


class Claim(Struct, frozen=True):
    """One leased event. `attempts` counts the failed tries before this one; `lease` fences what follows.

    `place` is where the adapter finds it again.
    """

    event: Event
    attempts: int
    lease: UUID
    place: Any = None


class DeadLetter(Struct, frozen=True):
    event: Event
    attempts: int
    reason: str
    dead_lettered_at: datetime


class Backlog(Struct, frozen=True):
    """`unsent` events are waiting, the oldest since `oldest`; `dead_lettered` are set aside.

    `deferred` is the work that waits beside them for the cache to be back; only the relational store keeps such work.
    """

    unsent: int
    dead_lettered: int
    oldest: datetime | None
    deferred: int = 0


class Outbox(Protocol):
    @abstractmethod
    def now(self) -> datetime | None:
        """The time by which its events are due and its leases end. None: by the caller's clock."""

    @abstractmethod
    def claim(self, *, now: datetime, lease_until: datetime, limit: int) -> list[Claim]:
        """Lease up to `limit` events that are due at `now` and not leased, oldest due first.

        An event is claimed only after all earlier events of its aggregate are acknowledged or dead-lettered, or
        together with them and behind them in the list. Two claimers never hold the same event before `lease_until`.
        A later event of an aggregate is not handed out while an earlier one is leased or postponed.
        """

    @abstractmethod
    def acknowledge(self, claims: Sequence[Claim]) -> None:
        """Remove dispatched events. Idempotent. Also accepted after the lease has passed: the work is done."""

    @abstractmethod
    def release(self, claims: Sequence[Claim]) -> None:
        """Give back untouched claims, due as before. Claims whose lease somebody else holds by now are left alone."""

    @abstractmethod
    def postpone(self, claim: Claim, *, due: datetime, attempts: int) -> None:
        """Give the claim back, not to be handed out before `due`, with its new count of failed tries.

        Does nothing when somebody else holds the lease by now.
        """

    @abstractmethod
    def dead_letter(self, claim: Claim, *, reason: str, attempts: int, now: datetime) -> None:
        """Set an event aside that keeps failing. It no longer holds up its aggregate. Fenced as `postpone` is."""

    @abstractmethod
    def dead_letters(self, *, limit: int) -> list[DeadLetter]:
        """Dead-lettered events, oldest first by `dead_lettered_at`."""

    @abstractmethod
    def replay(self, event_ids: Sequence[UUID] | None, *, now: datetime) -> int:
        """Make dead-lettered events (these, or all) due at `now` again with no failed tries. Returns how many."""

    @abstractmethod
    def backlog(self) -> Backlog:
        """How much waits. Reads an index, never the whole store."""
