"""Audit of timelines in Cassandra."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from repositories.feeds.audit_port import FeedAudit, StoredEntry
from repositories.feeds.cassandra.link import Link
from repositories.feeds.cassandra.pages import Pages
from repositories.feeds.cassandra.schema import LONGEST_MARKER_TTL, LONGEST_TTL
from repositories.feeds.id_time import HIGHEST, LOWEST, micros, millis
from repositories.feeds.layout import TimelineKind
from repositories.feeds.retention import Retention
from repositories.records.content import PostRef


class CassandraAudit(FeedAudit):
    def __init__(
        self, link: Link, author: Pages, home: Pages, kinds: tuple[TimelineKind, TimelineKind], retention: Retention
    ) -> None:
        """`kinds` are those of author and home timelines."""
        self._link = link
        self._author_pages, self._home_pages = author, home
        self._author, self._home = kinds
        self._retention = retention

    def home(self, owner: UUID) -> Iterator[StoredEntry]:
        low = self._retention.horizon()
        for bucket in self._home_pages.marked(owner, low, HIGHEST):
            for post_id, author_id, written in self._link.scan("home_scan", (owner, bucket, low)):
                yield StoredEntry(owner, bucket, post_id, author_id, _in_place(self._home, bucket, post_id), written)

    def author(self, author: UUID) -> Iterator[StoredEntry]:
        for bucket in self._author_pages.marked(author, LOWEST, HIGHEST):
            for (post_id,) in self._link.scan("author_scan", (author, bucket, LOWEST)):
                yield StoredEntry(author, bucket, post_id, author, _in_place(self._author, bucket, post_id))

    def restore_home(self, owner: UUID, posts: Sequence[PostRef], at: datetime) -> None:
        """Markers are written with the time of the repair: the usual timestamp does not beat a removal of a marker."""
        kept, written = [post for post in posts if self._retention.keeps(post.post_id)], micros(at)
        buckets = {self._home.bucket(post.post_id) for post in kept}
        marks = [(owner, b, written, min(LONGEST_MARKER_TTL, self._left(self._home.end_ms(b)))) for b in buckets]
        rows = [
            (owner, self._home.bucket(p.post_id), p.post_id, p.author_id, written, self._entry_ttl(p.post_id))
            for p in kept
        ]
        self._link.write("home_mark", marks)
        self._link.write_together("home_add", rows, key=2)

    def restore_author(self, posts: Sequence[PostRef], at: datetime) -> None:
        written = micros(at)
        rows = [(p.author_id, self._author.bucket(p.post_id), p.post_id, written) for p in posts]
        self._link.write("author_mark", [(*place, written) for place in {row[:2] for row in rows}])
        self._link.write_together("author_add", rows, key=2)

    def remove_home(self, entries: Sequence[StoredEntry], at: datetime) -> None:
        self._link.write("home_remove", [_removal(entry, at) for entry in entries])

    def remove_author(self, entries: Sequence[StoredEntry], at: datetime) -> None:
        self._link.write("author_remove", [_removal(entry, at) for entry in entries])

    def _entry_ttl(self, post_id: UUID) -> int:
        return min(LONGEST_TTL, self._left(millis(post_id)))

    def _left(self, milliseconds: int) -> int:
        return self._retention.seconds_left(milliseconds)


def _in_place(kind: TimelineKind, bucket: int, post_id: UUID) -> bool:
    return post_id.version == 7 and kind.bucket(post_id) == bucket


def _removal(entry: StoredEntry, at: datetime) -> tuple[int, UUID, int, UUID]:
    return max(micros(at), entry.written_us or 0), entry.owner, entry.bucket, entry.post_id
