"""The rows of a move: how records are read from the tables, and what is written for each."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from cassandra.metadata import Murmur3Token

from repositories.feeds.cassandra.notifications import LATE
from repositories.feeds.cassandra.schema import LONGEST_TTL
from repositories.feeds.id_time import millis
from repositories.feeds.layout import Layout
from repositories.feeds.moved_records import (
    KeptAuthorEntry,
    KeptHomeEntry,
    KeptNotification,
    KeptReadMarker,
    is_kept,
)
from repositories.feeds.retention import Retention
from repositories.moving.places import Key

# The tables of what a move copies, with the markers of buckets.
TABLES = (
    *("author_timeline", "author_buckets", "home_timeline", "home_buckets"),
    *("notifications", "notification_buckets", "late_notifications", "read_markers"),
)
_ENTRY = "token({0}_id, bucket) > %s AND token({0}_id, bucket) <= %s"
RANGES = {
    "author timelines": f"SELECT author_id, post_id FROM {{}}.author_timeline WHERE {_ENTRY.format('author')}",  # noqa: S608  our names
    "home timelines": f"""SELECT owner_id, post_id, author_id, WRITETIME(author_id) FROM {{}}.home_timeline
        WHERE {_ENTRY.format("owner")}""",  # noqa: S608  our names
    "notifications": f"""SELECT owner_id, activity_id, kind, subject, actor, at_us, number, detail, noted,
        WRITETIME(kind) FROM {{}}.notifications WHERE {_ENTRY.format("owner")}""",  # noqa: S608  our names
    "read markers": """SELECT owner_id, activity_id FROM {}.read_markers
        WHERE token(owner_id) > %s AND token(owner_id) <= %s""",
}
# The statement that reads one record by its key.
ONE = {
    "author timelines": "author_one",
    "home timelines": "home_one",
    "notifications": "notification_one",
    "read markers": "read_marker_one",
}


def _home(owner: UUID, post: UUID, author: UUID | None, written: int | None) -> KeptHomeEntry | None:
    """None for a damaged row, which no page shows."""
    return KeptHomeEntry(owner, post, author, written, live=True) if author and written is not None else None


def _notification(owner: UUID, own: UUID, *columns: Any) -> KeptNotification | None:
    *activity, noted, written = columns
    return None if written is None else KeptNotification(owner, own, tuple(activity), noted, written, live=True)


MAKE: dict[str, Callable[..., Any]] = {
    # The time of the write is not stored; the post's publication is the earliest possible.
    "author timelines": lambda author, post: KeptAuthorEntry(author, post, millis(post) * 1000, live=True),
    "home timelines": _home,
    "notifications": _notification,
    "read markers": KeptReadMarker,
}


class Unsure(set[Key]):
    """A set of keys that also contains every key of home timelines in one of `partitions`."""

    def __init__(self, partition: Callable[[Key], tuple[UUID, int]]) -> None:
        super().__init__()
        self._partition = partition
        self.partitions: set[tuple[UUID, int | None]] = set()

    def __contains__(self, key: Any) -> bool:
        return super().__contains__(key) or (bool(self.partitions) and self._partition(key) in self.partitions)


Writes = Iterator[tuple[str, list[Sequence[Any]]]]


class MovedRows:
    def __init__(self, layout: Layout, retention: Retention) -> None:
        self._kinds = {
            "author timelines": layout.author,
            "home timelines": layout.home,
            "notifications": layout.notifications,
        }
        self._retention = retention

    def place(self, kind: str, key: Key) -> tuple[Any, ...]:
        """The values of a record's primary key."""
        return key if kind == "read markers" else (key[0], self._kinds[kind].bucket(key[1]), key[1])

    def buckets(self, kind: str, records: Sequence[Any]) -> Iterable[tuple[UUID, int]]:
        """The buckets of the live records."""
        return {
            (one.key[0], self._kinds[kind].bucket(one.key[1]))
            for one in records
            if one.live and is_kept(one, self._retention)
        }

    def token(self, kind: str, key: Key) -> int:
        """The token of the record's partition."""
        owner, *rest = self.place(kind, key)
        return token(owner, rest[0] if rest else None)

    def partition(self, key: Key) -> tuple[UUID, int]:
        """The partition of an entry of a home timeline."""
        return key[0], self._kinds["home timelines"].bucket(key[1])

    def writes(self, kind: str, records: Sequence[Any]) -> Writes:
        kept = [one for one in records if is_kept(one, self._retention)]
        if kind == "trims":
            buckets = self._retention.buckets(self._kinds["home timelines"])
            yield "home_drop", [(one.stamp, one.owner_id, bucket) for one in kept for bucket in buckets]
        elif kind == "read markers":
            yield "read_mark", [(one.owner_id, one.id, millis(one.id) * 1000) for one in kept]
        else:
            yield _REMOVES[kind], [(one.stamp, *self.place(kind, one.key)) for one in kept if not one.live]
            yield from self._additions(kind, [(one, self.place(kind, one.key)) for one in kept if one.live])

    def _additions(self, kind: str, there: Sequence[tuple[Any, tuple[Any, ...]]]) -> Writes:
        if kind == "author timelines":
            yield "author_add", [(*place, one.stamp) for one, place in there]
        elif kind == "home timelines":
            yield "home_add", [(*place, one.author_id, one.stamp, self._ttl(place[2])) for one, place in there]
        else:
            rows = [(one, (*place, *one.activity, one.stamp, self._ttl(place[2])), place) for one, place in there]
            yield (
                "late_add",
                [
                    (one.owner_id, one.noted, one.id, one.stamp, self._ttl(one.id))
                    for one, _, _ in rows
                    if one.noted and millis(one.noted) - millis(one.id) > LATE
                ],
            )
            yield "notification_add", [row for one, row, _ in rows if not one.noted]
            # `noted` too has the time of the write: an earlier removal, which may be stored here, must not hide it.
            yield (
                "notification_note",
                [(*row, *place, one.noted, one.stamp, self._ttl(one.id)) for one, row, place in rows if one.noted],
            )

    def _ttl(self, own: UUID) -> int:
        return min(LONGEST_TTL, self._retention.seconds_left(millis(own)))


_REMOVES = {
    "author timelines": "author_remove",
    "home timelines": "home_remove",
    "notifications": "notification_remove",
}


def token(owner: UUID, bucket: int | None) -> int:
    if bucket is None:
        key = owner.bytes
    else:
        key = b"".join(struct.pack(">H", len(part)) + part + b"\0" for part in (owner.bytes, struct.pack(">i", bucket)))
    value: int = Murmur3Token.from_key(key).value
    return value
