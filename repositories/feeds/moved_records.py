"""What a move copies of feeds: entries and removals with their times, which the new place merges. The later one stays,
so they may come in any order and more than once.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import fields, replace

from repositories.dump_port import RecordKind
from repositories.feeds.retention import Retention
from repositories.moving.places import Key

# What is past the retention sooner is copied and not compared: it may be gone from one place first.
LASTING_MS = timedelta(hours=1) // timedelta(milliseconds=1)


class KeptAuthorEntry(Struct, frozen=True, array_like=True):
    """`stamp` is the time of the write, or of the removal where it is not `live`, in microseconds since 1970."""

    author_id: UUID
    post_id: UUID
    stamp: int
    live: bool

    @property
    def key(self) -> Key:
        return self.author_id, self.post_id


class KeptHomeEntry(Struct, frozen=True, array_like=True):
    """`author_id` is None where only the removal is known."""

    owner_id: UUID
    post_id: UUID
    author_id: UUID | None
    stamp: int
    live: bool

    @property
    def key(self) -> Key:
        return self.owner_id, self.post_id


class KeptTrim(Struct, frozen=True, array_like=True):
    """What was written to a home timeline up to this time is dropped."""

    owner_id: UUID
    stamp: int

    @property
    def key(self) -> Key:
        return (self.owner_id,)


class KeptNotification(Struct, frozen=True, array_like=True):
    """`activity`: kind, subject, actor, at_us, number and detail; None where only the removal is known."""

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
    """Of what is not there any more."""
    owner, own = key
    if kind == "author timelines":
        return KeptAuthorEntry(owner, own, stamp, live=False)
    if kind == "home timelines":
        return KeptHomeEntry(owner, own, None, stamp, live=False)
    return KeptNotification(owner, own, None, None, stamp, live=False)


def is_kept(record: Any, retention: Retention) -> bool:
    """Whether a store still has to have it."""
    match record:
        case KeptHomeEntry(post_id=own) | KeptNotification(id=own):
            return retention.keeps(own)
        case _:
            return True


def compared(record: Any, retention: Retention) -> Any:
    """What a reader sees of it. No store tells of all removals, nor Cassandra when an author's entry was written."""
    match record:
        case KeptAuthorEntry(live=True):
            return replace(record, stamp=0)
        case KeptHomeEntry(live=True, post_id=own) | KeptNotification(live=True, id=own):
            return record if retention.keeps(own, longer_ms=LASTING_MS) else None
        case KeptReadMarker():
            return record
        case _:
            return None
