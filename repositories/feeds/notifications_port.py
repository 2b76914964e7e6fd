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
    """`noted` is when it was first added (`moment_id`); None where an earlier version added it."""

    id: UUID
    activity: Activity
    noted: UUID | None = None

    @property
    def since(self) -> UUID:
        """When it was noted, to be compared with the marker."""
        return self.noted or self.id


class Notifications(Protocol):
    @abstractmethod
    def note(self, owner: UUID, activity: Activity, at: datetime, noted: UUID | None = None) -> UUID:
        """Add an activity to the owner's notifications. Returns its id. Idempotent; the first `noted` stays.

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
        """What was noted up to then is read; None before the first time."""

    @abstractmethod
    def lowest_after(self, owner: UUID, marker: UUID) -> UUID:
        """No activity noted after the marker has a lower id. An activity may be noted long after it happened."""

    @abstractmethod
    def mark(self, owner: UUID, noted: UUID) -> None:
        """Mark as read what was noted up to then. An older one than the present marker changes nothing."""
