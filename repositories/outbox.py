"""The outbox as the relay uses it. There are two outboxes: `relational.outbox` and `documents.outbox`.

Pattern: transactional outbox with row claiming. An outbox is never read by "id > last", since ids are not in commit
order. The relay leases unsent events, and only the holder of the lease may change them.
"""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

from repositories.records.events import Event


class Claim(Struct, frozen=True):
    """One leased event. `attempts` counts the earlier failed tries; `lease` fences later calls about the event.

    `place` is the adapter's own reference to the stored event.
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

    An event waits from the time it happened. If it was postponed with a reason, it waits from the time it is due, which
    may be in the future.

    `deferred` counts work that waits for the cache to be back; only the relational store keeps such work.
    """

    unsent: int
    dead_lettered: int
    oldest: datetime | None
    deferred: int = 0


class Outbox(Protocol):
    @abstractmethod
    def now(self) -> datetime | None:
        """The time that decides when events are due and leases end; None if the caller's clock decides."""

    @abstractmethod
    def claim(self, *, now: datetime, lease_until: datetime, limit: int) -> list[Claim]:
        """Lease up to `limit` events that are due at `now` and not leased, oldest due first.

        An event is claimed only after all earlier events of its aggregate are acknowledged or dead-lettered, or in the
        same call, after them in the list. Two claimers never hold the same event before `lease_until`. A later event of
        an aggregate is not handed out while an earlier one is leased or postponed.
        """

    @abstractmethod
    def acknowledge(self, claims: Sequence[Claim]) -> None:
        """Remove dispatched events. Idempotent. Also accepted after the lease has passed: the work is done."""

    @abstractmethod
    def release(self, claims: Sequence[Claim]) -> None:
        """Give back unprocessed claims, due as before. Claims that another claimer has leased since are left alone."""

    @abstractmethod
    def postpone(self, claim: Claim, *, due: datetime, attempts: int, reason: str | None = None) -> None:
        """Give the claim back with its new count of failed tries; it is not handed out again before `due`.

        With a `reason` nothing failed and the wait is intended, so the backlog counts the event from `due` on.
        Does nothing if another claimer has leased the event since.
        """

    @abstractmethod
    def dead_letter(self, claim: Claim, *, reason: str, attempts: int, now: datetime) -> None:
        """Set aside an event that keeps failing. It no longer blocks its aggregate. Fenced like `postpone`."""

    @abstractmethod
    def dead_letters(self, *, limit: int) -> list[DeadLetter]:
        """Dead-lettered events, oldest first by `dead_lettered_at`."""

    @abstractmethod
    def replay(self, event_ids: Sequence[UUID] | None, *, now: datetime) -> int:
        """Make dead-lettered events (these, or all) due at `now` again with no failed tries. Returns how many."""

    @abstractmethod
    def backlog(self) -> Backlog:
        """Count what is waiting. Reads an index, never the whole store."""
