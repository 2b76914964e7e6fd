"""Audit of timelines in SQL. A page finds every entry, except one whose id is not a UUIDv7."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from repositories.feeds.audit_port import FeedAudit, StoredEntry
from repositories.feeds.id_time import HIGHEST, LOWEST, micros, millis
from repositories.feeds.layout import TimelineKind
from repositories.feeds.retention import Retention
from repositories.feeds.sql.database import FeedDatabase
from repositories.feeds.sql.statements import (
    AUTHOR_REMOVE,
    AUTHOR_RESTORE,
    AUTHOR_SCAN,
    HOME_REMOVE,
    HOME_RESTORE,
    HOME_SCAN,
    NEVER,
)
from repositories.records.content import PostRef

CHUNK = 1000


class SqlFeedAudit(FeedAudit):
    def __init__(self, database: FeedDatabase, kinds: tuple[TimelineKind, TimelineKind], retention: Retention) -> None:
        """`kinds` are those of author and home timelines."""
        self._feeds = database
        self._author, self._home = kinds
        self._retention = retention

    def home(self, owner: UUID) -> Iterator[StoredEntry]:
        return self._kept(HOME_SCAN, owner, self._retention.horizon(), self._home)

    def author(self, author: UUID) -> Iterator[StoredEntry]:
        return self._kept(AUTHOR_SCAN, author, LOWEST, self._author)

    def restore_home(self, owner: UUID, posts: Sequence[PostRef], at: datetime) -> None:
        key, written = self._feeds.key, micros(at)
        kept = [post for post in posts if self._retention.keeps(post.post_id)]
        if kept:
            rows = [(key(owner), key(post.post_id), key(post.author_id), written, NEVER) for post in kept]
            self._feeds.upsert(HOME_RESTORE, rows)

    def restore_author(self, posts: Sequence[PostRef], at: datetime) -> None:
        key, written = self._feeds.key, micros(at)
        for post in posts:
            millis(post.post_id)
        if posts:
            self._feeds.upsert(AUTHOR_RESTORE, [(key(p.author_id), key(p.post_id), written, NEVER) for p in posts])

    def remove_home(self, entries: Sequence[StoredEntry], at: datetime) -> None:
        self._remove(HOME_REMOVE, entries, at)

    def remove_author(self, entries: Sequence[StoredEntry], at: datetime) -> None:
        self._remove(AUTHOR_REMOVE, entries, at)

    def _kept(self, query: str, owner: UUID, low: UUID, kind: TimelineKind) -> Iterator[StoredEntry]:
        key, uuid = self._feeds.key, self._feeds.uuid
        values = {"key": key(owner), "low": key(low), "high": key(HIGHEST), "never": NEVER, "limit": CHUNK}
        while rows := self._feeds.rows(query, values):
            for post, author, written in rows:
                post_id = uuid(post)
                yield StoredEntry(
                    owner, kind.bucket(post_id), post_id, uuid(author), post_id.version == 7, max(written, 0)
                )
            values["high"] = rows[-1][0]

    def _remove(self, statement: str, entries: Sequence[StoredEntry], at: datetime) -> None:
        key = self._feeds.key
        ordered = sorted(entries, key=lambda entry: (entry.owner, entry.post_id))
        calls = [
            (statement, {"key": key(e.owner), "post": key(e.post_id), "at": max(micros(at), e.written_us or 0)})
            for e in ordered
        ]
        if calls:
            self._feeds.run(*calls)
