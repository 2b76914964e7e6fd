"""The notifications of an account: activities in the order of their time, and a read marker.

An activity's id is a UUIDv7 made of its time and a hash of its content, so that a repeated write changes nothing and a
removal needs no look-up. Timestamps, removals, retention and errors are as in `port`.
"""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.records.feeds import Activity

# After this many withdrawals of one actor's same activity, in one bucket and by one process, it is not added again.
MAX_REPEATS = 20


class StoredActivity(Struct, frozen=True):
    """An activity with its id. `noted` is when it was first added (`moment_id`), None if by an earlier version."""

    id: UUID
    activity: Activity
    noted: UUID | None = None

    @property
    def since(self) -> UUID:
        """The time at which it was noted, as an id to compare with the read marker."""
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
        """The read marker: what was noted up to then is read. None if nothing was ever marked."""

    @abstractmethod
    def lowest_after(self, owner: UUID, marker: UUID) -> UUID:
        """A lower bound for the ids of activities noted after the marker, some perhaps long after they happened."""

    @abstractmethod
    def mark(self, owner: UUID, noted: UUID) -> None:
        """Mark as read what was noted up to `noted`. A value below the current marker changes nothing."""
