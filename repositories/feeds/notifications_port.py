"""The notifications of an account: activities in time order, and a marker of what was read.

An activity's id is a UUIDv7 made of its time and a hash of its content, so that a repeated write changes nothing and
a removal needs no look-up. Timestamps, removals, retention and errors are as in `port`.
"""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.feed_records import Activity

# After so many withdrawals of the same actor's same activity, in one bucket by one process, it is not added again.
MAX_REPEATS = 20


class StoredActivity(Struct, frozen=True):
    id: UUID
    activity: Activity


class Notifications(Protocol):
    @abstractmethod
    def note(self, owner: UUID, activity: Activity, at: datetime) -> UUID:
        """Add an activity to the owner's notifications. Returns its id. Idempotent.

        Ignored: activities older than the retention, and those that were withdrawn `MAX_REPEATS` times.
        """

    @abstractmethod
    def withdraw(self, owner: UUID, activity: Activity, at: datetime) -> None:
        """Remove an activity. Idempotent, also for one that was never added."""

    @abstractmethod
    def page(self, owner: UUID, *, before: UUID | None = None, limit: int) -> list[StoredActivity]:
        """Newest first by id, strictly below `before`."""

    @abstractmethod
    def marker(self, owner: UUID) -> UUID | None:
        """The newest activity that the owner has marked as read; None before the first time."""

    @abstractmethod
    def mark(self, owner: UUID, activity_id: UUID) -> None:
        """Mark as read up to and including this activity. An older one than the present marker changes nothing."""
