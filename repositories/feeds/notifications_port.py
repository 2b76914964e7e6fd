"""What people are told of: facts in time order, and how far they have read. A projection, like the timelines.

A fact has an id of its own, a UUIDv7 made of its time and its content, so that writing it again changes nothing
and whoever knows the fact can take it back. Writes carry the time of the event behind them, and a removal beats
every write that is not newer. Every method may raise `Unavailable`.
"""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.feed_records import Fact

# How often one actor's same deed is withdrawn, in one bucket by one process, before it notifies nobody any more.
REPEATS = 20


class Noted(Struct, frozen=True):
    id: UUID
    fact: Fact


class Notifications(Protocol):
    @abstractmethod
    def note(self, owner: UUID, fact: Fact, at: datetime) -> UUID:
        """Put a fact on the owner's list. Returns its id. Idempotent.

        Not kept: facts beyond the retention, and what the same actor did and took back `REPEATS` times lately.
        """

    @abstractmethod
    def withdraw(self, owner: UUID, fact: Fact, at: datetime) -> None:
        """Take a fact back. Idempotent, also when it never was there."""

    @abstractmethod
    def page(self, owner: UUID, *, before: UUID | None = None, limit: int) -> list[Noted]:
        """Newest first by id, strictly below `before`."""

    @abstractmethod
    def marker(self, owner: UUID) -> UUID | None:
        """The newest fact that the owner has read."""

    @abstractmethod
    def mark(self, owner: UUID, fact_id: UUID) -> None:
        """Read up to and including this fact. Never backwards, whatever comes first."""
