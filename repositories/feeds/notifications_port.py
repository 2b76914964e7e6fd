"""What people are notified of: activities in time order, and how far they have read. A projection, like the timelines.

An activity has an id of its own, a UUIDv7 made of its time and its content, so that writing it again changes nothing
and whoever knows the activity can take it back. Writes carry the time of the event behind them, and a removal beats
every write that is not newer. Every method may raise `Unavailable`.
"""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.feed_records import Activity

# How often one actor's same activity is withdrawn, in one bucket by one process, before it notifies nobody any more.
MAX_REPEATS = 20


class StoredActivity(Struct, frozen=True):
    id: UUID
    activity: Activity


class Notifications(Protocol):
    @abstractmethod
    def note(self, owner: UUID, activity: Activity, at: datetime) -> UUID:
        """Put an activity on the owner's list. Returns its id. Idempotent.

        Not kept: activities beyond the retention, and one that the same actor repeated and took back `MAX_REPEATS`
        times in its bucket.
        """

    @abstractmethod
    def withdraw(self, owner: UUID, activity: Activity, at: datetime) -> None:
        """Take an activity back. Idempotent, also when it never was there."""

    @abstractmethod
    def page(self, owner: UUID, *, before: UUID | None = None, limit: int) -> list[StoredActivity]:
        """Newest first by id, strictly below `before`."""

    @abstractmethod
    def marker(self, owner: UUID) -> UUID | None:
        """The newest activity that the owner has read."""

    @abstractmethod
    def mark(self, owner: UUID, activity_id: UUID) -> None:
        """Read up to and including this activity. Never backwards, whatever comes first."""
