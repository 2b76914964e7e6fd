"""The records that a move copies of the feed store: entries and removals with their timestamps.

The new place merges them by the latest timestamp, so they may arrive in any order and more than once.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import fields, replace

from repositories.dump_port import RecordKind
from repositories.feeds.retention import Retention
from repositories.moving.places import Key

# Entries that expire sooner are copied but not compared: they may be gone from one place before the other.
LASTING_MS = timedelta(hours=1) // timedelta(milliseconds=1)


class KeptAuthorEntry(Struct, frozen=True, array_like=True):
    """`stamp` is the time of the write, or of the removal if it is not `live`, in microseconds since 1970."""

    author_id: UUID
    post_id: UUID
    stamp: int
    live: bool

    @property
    def key(self) -> Key:
        return self.author_id, self.post_id


class KeptHomeEntry(Struct, frozen=True, array_like=True):
    """`author_id` is None if only the removal is known."""

    owner_id: UUID
    post_id: UUID
    author_id: UUID | None
    stamp: int
    live: bool

    @property
    def key(self) -> Key:
        return self.owner_id, self.post_id


class KeptTrim(Struct, frozen=True, array_like=True):
    """A trim of a home timeline: what was written up to `stamp` is dropped."""

    owner_id: UUID
    stamp: int

    @property
    def key(self) -> Key:
        return (self.owner_id,)


class KeptNotification(Struct, frozen=True, array_like=True):
    """`activity`: kind, subject, actor, at_us, number and detail; None if only the removal is known."""

    owner_id: UUID
    id: UUID
    activity: tuple[str, UUID, UUID, int, int, str] | None
    noted: UUID | None
    stamp: int
    live: bool

    @property
    def key(self) -> Key:
        return self.owner_id, self.id


class KeptReadMarker(Struct, frozen=True, array_like=True):
    owner_id: UUID
    id: UUID

    @property
    def key(self) -> Key:
        return (self.owner_id,)


_RECORDS: dict[str, type[Struct]] = {
    "trims": KeptTrim,
    "author timelines": KeptAuthorEntry,
    "home timelines": KeptHomeEntry,
    "notifications": KeptNotification,
    "read markers": KeptReadMarker,
}
KINDS = [RecordKind(name, tuple(one.name for one in fields(record)), record) for name, record in _RECORDS.items()]


def removal(kind: str, key: Key, stamp: int) -> Any:
    """The record of a removed entry or notification."""
    owner, own = key
    if kind == "author timelines":
        return KeptAuthorEntry(owner, own, stamp, live=False)
    if kind == "home timelines":
        return KeptHomeEntry(owner, own, None, stamp, live=False)
    return KeptNotification(owner, own, None, None, stamp, live=False)


def is_kept(record: Any, retention: Retention) -> bool:
    """Whether the record is within the retention, so that a store must have it."""
    match record:
        case KeptHomeEntry(post_id=own) | KeptNotification(id=own):
            return retention.keeps(own)
        case _:
            return True


def compared(record: Any, retention: Retention) -> Any:
    """What is compared of a record; None for a record that is not compared.

    Removals are not, since no store can list them all. Nor is the time of an author's entry: Cassandra lacks it.
    """
    match record:
        case KeptAuthorEntry(live=True):
            return replace(record, stamp=0)
        case KeptHomeEntry(live=True, post_id=own) | KeptNotification(live=True, id=own):
            return record if retention.keeps(own, longer_ms=LASTING_MS) else None
        case KeptReadMarker():
            return record
        case _:
            return None
