"""Feeds in SQLite, with the semantics of Cassandra's timestamps; see `schema`."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from repositories.feeds.embedded.audit import EmbeddedAudit
from repositories.feeds.embedded.notifications import EmbeddedNotifications
from repositories.feeds.embedded.schema import (
    AUTHOR_ADD,
    AUTHOR_PAGE,
    CHANGES,
    HOME_ADD,
    HOME_BY_AUTHOR,
    HOME_DROP,
    HOME_PAGE,
    HOME_PRUNE,
    HOME_TRIM,
    NEVER,
    TABLES,
)
from repositories.feeds.id_time import HIGHEST, just_below, micros, millis, span
from repositories.feeds.layout import Layout
from repositories.feeds.port import MAX_TOMBSTONES, FeedStore
from repositories.feeds.retention import Clock, Retention, now
from repositories.feeds.tombstone_budget import TombstoneBudget
from repositories.records import PostRef
from repositories.sqlite import SqliteBacked, SqliteFile, path_of

T = TypeVar("T")
CHUNK = 1000
# Expired entries that one write deletes, at most.
PRUNED = 1000


class EmbeddedFeeds(SqliteBacked, FeedStore):
    _tables = TABLES
    _changes = CHANGES

    def __init__(
        self,
        url: str,
        *,
        retention: timedelta,
        layout: Layout = Layout(),  # noqa: B008 - frozen
        clock: Clock = now,
    ) -> None:
        self._file = SqliteFile(path_of(url), "feeds")
        self._retention = Retention(retention, clock)
        self._author, self._home = layout.author, layout.home
        self._author_budget, self._home_budget = TombstoneBudget(MAX_TOMBSTONES), TombstoneBudget(MAX_TOMBSTONES)
        self.notifications = EmbeddedNotifications(self._file, layout.notifications, self._retention)
        self.audit = EmbeddedAudit(self._file, (self._author, self._home), self._retention)

    def add_to_author(self, post: PostRef, at: datetime) -> None:
        self._add_author_entries([(post, micros(at), NEVER)])

    def remove_from_author(self, post: PostRef, at: datetime) -> None:
        millis(post.post_id)
        with self._author_budget.spend([(post.author_id, self._author.bucket(post.post_id))]) as granted:
            self._add_author_entries(itertools.compress([(post, NEVER, micros(at))], granted))

    def author_page(
        self, author: UUID, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        low, high = span(before, after)
        return self._page(AUTHOR_PAGE, author, low, high, ascending=after is not None, limit=limit)

    def push(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> None:
        written = micros(at)
        self._add_home_entries([(owner, post, written, NEVER) for owner in owners])

    def fill(self, owner: UUID, posts: Sequence[PostRef], at: datetime) -> None:
        written = micros(at)
        self._add_home_entries([(owner, post, written, NEVER) for post in posts])

    def retract(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> set[UUID]:
        if not self._retention.keeps(post.post_id):
            return set()
        return self._remove_home_entries([(owner, post) for owner in owners], micros(at))

    def purge(self, owner: UUID, author: UUID, at: datetime) -> bool:
        values = {"author": author.bytes, "at": micros(at)}
        rows = self._file.rows(HOME_BY_AUTHOR, _span(owner, self._retention.horizon(), HIGHEST) | values)
        return not self._remove_home_entries(
            [(owner, PostRef(UUID(bytes=post), author)) for (post,) in rows], micros(at)
        )

    def home_page(
        self,
        owner: UUID,
        *,
        before: UUID | None = None,
        after: UUID | None = None,
        limit: int,
        low_watermark: UUID | None = None,
    ) -> list[PostRef]:
        low, high = span(before, after)
        low = max(low, self._retention.horizon(), just_below(low_watermark))
        return self._page(HOME_PAGE, owner, low, high, ascending=after is not None, limit=limit)

    def trim(self, owner: UUID, at: datetime) -> None:
        values = {"owner": owner.bytes, "at": micros(at)}
        with self._file.write() as connection:
            connection.execute(HOME_TRIM, values)
            connection.execute(HOME_DROP, values)
        self._home_budget.forget(owner)

    def entries(self, owner: UUID) -> Iterator[PostRef]:
        before: UUID | None = None
        while page := self.home_page(owner, before=before, limit=CHUNK):
            yield from page
            before = page[-1].post_id

    def load(self, author_posts: Iterable[PostRef], home_posts: Iterable[tuple[UUID, PostRef]]) -> None:
        for posts in _chunks(author_posts):
            self._add_author_entries([(post, millis(post.post_id) * 1000, NEVER) for post in posts])
        for entries in _chunks(home_posts):
            self._add_home_entries([(owner, post, millis(post.post_id) * 1000, NEVER) for owner, post in entries])

    def _add_author_entries(self, entries: Iterable[tuple[PostRef, int, int]]) -> None:
        rows = [(post.author_id.bytes, _key(post), *times) for post, *times in entries]
        with self._file.write() as connection:
            connection.executemany(AUTHOR_ADD, rows)

    def _add_home_entries(self, entries: Iterable[tuple[UUID, PostRef, int, int]]) -> None:
        rows = [
            (owner.bytes, _key(post), post.author_id.bytes, *times)
            for owner, post, *times in entries
            if self._retention.keeps(post.post_id)
        ]
        if not rows:
            return
        with self._file.write() as connection:
            connection.executemany(HOME_ADD, rows)
            connection.execute(HOME_PRUNE, (self._retention.horizon().bytes, PRUNED))

    def _remove_home_entries(self, entries: Sequence[tuple[UUID, PostRef]], removed: int) -> set[UUID]:
        """Returns the owners whose budget is spent."""
        with self._home_budget.spend([(o, self._home.bucket(post.post_id)) for o, post in entries]) as granted:
            self._add_home_entries((o, post, NEVER, removed) for o, post in itertools.compress(entries, granted))
        return {owner for (owner, _), taken in zip(entries, granted, strict=True) if not taken}

    def _page(self, query: str, key: UUID, low: UUID, high: UUID, *, ascending: bool, limit: int) -> list[PostRef]:
        values = _span(key, low, high) | {"limit": max(limit, 0)}
        rows = self._file.rows(f"{query} {'ASC' if ascending else 'DESC'} LIMIT :limit", values)
        return [PostRef(UUID(bytes=post), UUID(bytes=author)) for post, author in rows]


def _span(key: UUID, low: UUID, high: UUID) -> dict[str, Any]:
    return {"key": key.bytes, "low": low.bytes, "high": high.bytes, "never": NEVER}


def _key(post: PostRef) -> bytes:
    millis(post.post_id)
    return post.post_id.bytes


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(itertools.islice(rest, CHUNK)):
        yield chunk
