"""The cached top of an inbox: the newest stored activities and the read marker. It is enough for most requests."""

from typing import Self
from uuid import UUID

import msgspec
from msgspec import Struct

from repositories.feeds.notifications_port import Notifications, StoredActivity
from repositories.hot import Value

# If an owner has fewer, the top has all of them.
ACTIVITIES = 200


class InboxTop(Struct, frozen=True, array_like=True):
    """Activities noted up to `marker` are read, and no unread one has a lower id than `lowest`.

    `activities` are the newest `ACTIVITIES`, newest first.
    """

    marker: UUID | None
    lowest: UUID | None
    activities: list[StoredActivity]

    def covers(self, noted: UUID) -> bool:
        """Whether an activity noted at this id is read."""
        return self.marker is not None and noted <= self.marker

    @classmethod
    def read(cls, stored: Notifications, owner: UUID) -> Self:
        marker = stored.marker(owner)
        lowest = stored.lowest_after(owner, marker) if marker else None
        return cls(marker, lowest, stored.page(owner, limit=ACTIVITIES))

    @classmethod
    def of(cls, value: Value) -> Self:
        return msgspec.msgpack.decode(value.body or b"", type=cls)

    def value(self) -> Value:
        return Value(msgspec.msgpack.encode(self))
