"""Activities grouped into items: one item per kind, subject and UTC day.

An order has one item per state. An item's id is derived from kind, subject and day, so it is stable while activities
come and go, and it gives the day to read them from.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from repositories.feeds.notifications_port import StoredActivity
from repositories.records.feeds import Activity, Kind

DAY_MS = 24 * 60 * 60 * 1000
LAST_MS = (1 << 48) - 1
ITEM_VERSION = 8


class Item(Struct, frozen=True):
    """`latest` is the id of the newest activity, which happened `at`; `noted` is the moment when one was noted last.

    `actors` are distinct accounts, those who acted last first.
    """

    id: UUID
    kind: Kind
    subject: UUID
    detail: str
    at: datetime
    latest: UUID
    noted: UUID
    actors: tuple[UUID, ...]


def items(activities: Iterable[StoredActivity]) -> list[Item]:
    """Group activities, which are given newest first, into items, ordered by their newest activity."""
    groups: dict[tuple[int, Kind, UUID, str], list[StoredActivity]] = {}
    for noted in activities:
        activity = noted.activity
        groups.setdefault((day_of(noted.id), activity.kind, activity.subject, activity.detail), []).append(noted)
    return [_item(group) for group in groups.values()]


def day_of(place: UUID) -> int:
    """The UTC day, in days since 1970, that the id of an activity or an item contains."""
    return (place.int >> 80) // DAY_MS


def end_of(day: int) -> UUID:
    """A UUIDv7 above every activity of the day and below those of the next."""
    return _built(min((day + 1) * DAY_MS, LAST_MS), 7, 0)


def above(activity_id: UUID) -> UUID:
    """The next higher id."""
    return UUID(int=activity_id.int + 1)


def _item(group: list[StoredActivity]) -> Item:
    newest, activity = group[0], group[0].activity
    actors = tuple(dict.fromkeys(n.activity.actor for n in group))
    return Item(
        _id(day_of(newest.id), activity),
        activity.kind,
        activity.subject,
        activity.detail,
        activity.at,
        newest.id,
        max(n.since for n in group),
        actors,
    )


def _id(day: int, activity: Activity) -> UUID:
    content = b"".join((day.to_bytes(6), activity.kind.encode(), activity.subject.bytes, activity.detail.encode()))
    return _built(day * DAY_MS, ITEM_VERSION, int.from_bytes(hashlib.sha256(content).digest()[:10]))


def _built(milliseconds: int, version: int, rest: int) -> UUID:
    """A UUID by RFC 9562: 48 bits of time, the version, 12 bits, the variant, 62 bits."""
    low = rest & (1 << 62) - 1
    return UUID(int=milliseconds << 80 | version << 76 | (rest >> 62 & 0xFFF) << 64 | 2 << 62 | low)
