"""Feeds in SQLite, by Cassandra's rules: an entry shows while its newest write is newer than its removal."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from repositories.feeds.age import Clock, Retention, micros, millis, now, span
from repositories.feeds.port import Feeds
from repositories.records import PostRef
from repositories.sqlite import SqliteFile, path_of

T = TypeVar("T")
NEVER = -(1 << 63)
CHUNK = 1000
# Entries past the retention that one write removes, at most.
PRUNED = 1000

TABLES = (
    """CREATE TABLE IF NOT EXISTS feeds_author (
        author BLOB NOT NULL, post BLOB NOT NULL, written INTEGER NOT NULL, removed INTEGER NOT NULL,
        PRIMARY KEY (author, post)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS feeds_home (
        owner BLOB NOT NULL, post BLOB NOT NULL, author BLOB NOT NULL,
        written INTEGER NOT NULL, removed INTEGER NOT NULL,
        PRIMARY KEY (owner, post)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS feeds_home_author ON feeds_home (owner, author)",
    "CREATE INDEX IF NOT EXISTS feeds_home_age ON feeds_home (post)",
    "CREATE TABLE IF NOT EXISTS feeds_floor (owner BLOB PRIMARY KEY, floor BLOB NOT NULL) WITHOUT ROWID",
)

AUTHOR_PUT = """INSERT INTO feeds_author (author, post, written, removed) VALUES (?, ?, ?, ?)
ON CONFLICT (author, post) DO UPDATE SET
written = max(written, excluded.written), removed = max(removed, excluded.removed)"""
HOME_PUT = """INSERT INTO feeds_home (owner, post, author, written, removed) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (owner, post) DO UPDATE SET
written = max(written, excluded.written), removed = max(removed, excluded.removed)"""
PURGE = """UPDATE feeds_home SET removed = :at
WHERE owner = :owner AND author = :author AND written > removed AND written <= :at"""
PRUNE = """DELETE FROM feeds_home WHERE (owner, post) IN
(SELECT owner, post FROM feeds_home WHERE post < ? LIMIT ?)"""
FLOOR_PUT = """INSERT INTO feeds_floor (owner, floor) VALUES (?, ?)
ON CONFLICT (owner) DO UPDATE SET floor = excluded.floor WHERE excluded.floor > floor"""
AUTHOR_PAGE = """SELECT post, author FROM feeds_author
WHERE author = ? AND post > ? AND post < ? AND written > removed ORDER BY post"""
HOME_PAGE = """SELECT post, author FROM feeds_home
WHERE owner = ? AND post > ? AND post < ? AND written > removed ORDER BY post"""


class EmbeddedFeeds(Feeds):
    def __init__(self, url: str, *, retention: timedelta, clock: Clock = now) -> None:
        self._file = SqliteFile(path_of(url), "feeds")
        self._retention = Retention(retention, clock)

    def add_to_author(self, post: PostRef, at: datetime) -> None:
        self._put_author([(post, micros(at), NEVER)])

    def remove_from_author(self, post: PostRef, at: datetime) -> None:
        self._put_author([(post, NEVER, micros(at))])

    def author_page(
        self, author: UUID, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        low, high = span(before, after)
        return self._page(AUTHOR_PAGE, author, low, high, rising=after is not None, limit=limit)

    def push(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> None:
        written = micros(at)
        self._put_home([(owner, post, written, NEVER) for owner in owners])

    def fill(self, owner: UUID, posts: Sequence[PostRef], at: datetime) -> None:
        written = micros(at)
        self._put_home([(owner, post, written, NEVER) for post in posts])

    def retract(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> None:
        removed = micros(at)
        self._put_home([(owner, post, NEVER, removed) for owner in owners])

    def purge(self, owner: UUID, author: UUID, at: datetime) -> None:
        with self._file.write() as connection:
            connection.execute(PURGE, {"owner": owner.bytes, "author": author.bytes, "at": micros(at)})

    def home_page(
        self, owner: UUID, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        low, high = span(before, after)
        low = max(low, self._retention.horizon())
        return self._page(HOME_PAGE, owner, low, high, rising=after is not None, limit=limit)

    def floor(self, owner: UUID) -> UUID | None:
        rows = self._file.rows("SELECT floor FROM feeds_floor WHERE owner = ?", (owner.bytes,))
        return UUID(bytes=rows[0][0]) if rows else None

    def raise_floor(self, owner: UUID, floor: UUID) -> None:
        millis(floor)
        with self._file.write() as connection:
            connection.execute(FLOOR_PUT, (owner.bytes, floor.bytes))

    def load(self, author_posts: Iterable[PostRef], home_posts: Iterable[tuple[UUID, PostRef]]) -> None:
        for posts in _chunks(author_posts):
            self._put_author([(post, millis(post.post_id) * 1000, NEVER) for post in posts])
        for entries in _chunks(home_posts):
            self._put_home([(owner, post, millis(post.post_id) * 1000, NEVER) for owner, post in entries])

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return self._file.migrate(TABLES, dry_run=dry_run)

    def ping(self) -> None:
        self._file.ping()

    def close(self) -> None:
        self._file.close()

    def _put_author(self, entries: Iterable[tuple[PostRef, int, int]]) -> None:
        rows = [(post.author_id.bytes, _key(post), *times) for post, *times in entries]
        with self._file.write() as connection:
            connection.executemany(AUTHOR_PUT, rows)

    def _put_home(self, entries: Iterable[tuple[UUID, PostRef, int, int]]) -> None:
        rows = [
            (owner.bytes, _key(post), post.author_id.bytes, *times)
            for owner, post, *times in entries
            if self._retention.keeps(post.post_id)
        ]
        with self._file.write() as connection:
            connection.executemany(HOME_PUT, rows)
            connection.execute(PRUNE, (self._retention.horizon().bytes, PRUNED))

    def _page(self, query: str, key: UUID, low: UUID, high: UUID, *, rising: bool, limit: int) -> list[PostRef]:
        values: tuple[Any, ...] = (key.bytes, low.bytes, high.bytes, max(limit, 0))
        rows = self._file.rows(f"{query} {'ASC' if rising else 'DESC'} LIMIT ?", values)
        return [PostRef(UUID(bytes=post), UUID(bytes=author)) for post, author in rows]


def _key(post: PostRef) -> bytes:
    millis(post.post_id)
    return post.post_id.bytes


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(itertools.islice(rest, CHUNK)):
        yield chunk
