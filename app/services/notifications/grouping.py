"""Facts put together into what is shown: facts of one kind about one thing on one UTC day are one item.

News of an order are one item for each state. An item's id is made of kind, thing and day: it stays the same while
facts come and go, and tells where to look for them.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from repositories.feed_records import Fact, Kind
from repositories.feeds.notifications_port import Noted

DAY_MS = 24 * 60 * 60 * 1000
LAST_MS = (1 << 48) - 1
ITEM_VERSION = 8


class Item(Struct, frozen=True):
    """`latest` is the newest of its facts, made `at`; `actors` are different, whoever acted last first."""

    id: UUID
    kind: Kind
    subject: UUID
    detail: str
    at: datetime
    latest: UUID
    actors: tuple[UUID, ...]


def items(facts: Iterable[Noted]) -> list[Item]:
    """Newest activity first, as the facts come."""
    groups: dict[tuple[int, Kind, UUID, str], list[Noted]] = {}
    for noted in facts:
        fact = noted.fact
        groups.setdefault((day_of(noted.id), fact.kind, fact.subject, fact.detail), []).append(noted)
    return [_item(group) for group in groups.values()]


def day_of(place: UUID) -> int:
    """The number of the UTC day in the id of a fact or an item."""
    return (place.int >> 80) // DAY_MS


def end_of(day: int) -> UUID:
    """A UUIDv7 above every fact of the day and below those of the next."""
    return _built(min((day + 1) * DAY_MS, LAST_MS), 7, 0)


def above(fact_id: UUID) -> UUID:
    """The next higher id."""
    return UUID(int=fact_id.int + 1)


def _item(group: list[Noted]) -> Item:
    newest, fact = group[0], group[0].fact
    actors = tuple(dict.fromkeys(n.fact.actor for n in group))
    return Item(_id(day_of(newest.id), fact), fact.kind, fact.subject, fact.detail, fact.at, newest.id, actors)


def _id(day: int, fact: Fact) -> UUID:
    content = b"".join((day.to_bytes(6), fact.kind.encode(), fact.subject.bytes, fact.detail.encode()))
    return _built(day * DAY_MS, ITEM_VERSION, int.from_bytes(hashlib.sha256(content).digest()[:10]))


def _built(milliseconds: int, version: int, rest: int) -> UUID:
    """RFC 9562: 48 bits of time, the version, 12 bits, the variant, 62 bits."""
    low = rest & (1 << 62) - 1
    return UUID(int=milliseconds << 80 | version << 76 | (rest >> 62 & 0xFFF) << 64 | 2 << 62 | low)
