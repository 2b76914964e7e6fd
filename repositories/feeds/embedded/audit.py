"""Audit of timelines in SQLite. There are no partitions: only an entry that is no UUIDv7 is not in place."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from repositories.feeds.audit_port import FeedAudit, StoredEntry
from repositories.feeds.embedded.schema import (
    AUTHOR_REMOVE,
    AUTHOR_RESTORE,
    AUTHOR_SCAN,
    HOME_REMOVE,
    HOME_RESTORE,
    HOME_SCAN,
    NEVER,
)
from repositories.feeds.id_time import HIGHEST, LOWEST, micros, millis
from repositories.feeds.layout import TimelineKind
from repositories.feeds.retention import Retention
from repositories.records import PostRef
from repositories.sqlite import SqliteFile

CHUNK = 1000


class EmbeddedAudit(FeedAudit):
    def __init__(self, file: SqliteFile, kinds: tuple[TimelineKind, TimelineKind], retention: Retention) -> None:
        """`kinds` are those of author and home timelines."""
        self._file = file
        self._author, self._home = kinds
        self._retention = retention

    def home(self, owner: UUID) -> Iterator[StoredEntry]:
        return self._kept(HOME_SCAN, owner, self._retention.horizon(), self._home)

    def author(self, author: UUID) -> Iterator[StoredEntry]:
        return self._kept(AUTHOR_SCAN, author, LOWEST, self._author)

    def restore_home(self, owner: UUID, posts: Sequence[PostRef], at: datetime) -> None:
        rows = [
            (owner.bytes, p.post_id.bytes, p.author_id.bytes, micros(at), NEVER)
            for p in posts
            if self._retention.keeps(p.post_id)
        ]
        self._write(HOME_RESTORE, rows)

    def restore_author(self, posts: Sequence[PostRef], at: datetime) -> None:
        for post in posts:
            millis(post.post_id)
        self._write(AUTHOR_RESTORE, [(p.author_id.bytes, p.post_id.bytes, micros(at), NEVER) for p in posts])

    def remove_home(self, entries: Sequence[StoredEntry], at: datetime) -> None:
        self._write(HOME_REMOVE, [_removal(entry, at) for entry in entries])

    def remove_author(self, entries: Sequence[StoredEntry], at: datetime) -> None:
        self._write(AUTHOR_REMOVE, [_removal(entry, at) for entry in entries])

    def _kept(self, query: str, owner: UUID, low: UUID, kind: TimelineKind) -> Iterator[StoredEntry]:
        values = {"key": owner.bytes, "low": low.bytes, "high": HIGHEST.bytes, "never": NEVER, "limit": CHUNK}
        while rows := self._file.rows(query, values):
            for post, author, written in rows:
                post_id = UUID(bytes=post)
                yield StoredEntry(
                    owner, kind.bucket(post_id), post_id, UUID(bytes=author), post_id.version == 7, max(written, 0)
                )
            values["high"] = rows[-1][0]

    def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            with self._file.write() as connection:
                connection.executemany(statement, rows)


def _removal(entry: StoredEntry, at: datetime) -> tuple[int, bytes, bytes]:
    return max(micros(at), entry.written_us or 0), entry.owner.bytes, entry.post_id.bytes
