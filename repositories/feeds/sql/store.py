"""Feeds in an SQL database, with the semantics of Cassandra's timestamps; see `statements`."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from repositories.batched import batched
from repositories.feeds.id_time import HIGHEST, just_below, micros, millis, span
from repositories.feeds.layout import Layout
from repositories.feeds.port import MAX_TOMBSTONES, FeedStore
from repositories.feeds.retention import Retention
from repositories.feeds.sql.audit import SqlFeedAudit
from repositories.feeds.sql.database import FeedDatabase
from repositories.feeds.sql.notifications import SqlNotifications
from repositories.feeds.sql.statements import (
    AUTHOR_ADD,
    AUTHOR_PAGE,
    HOME_ADD,
    HOME_BY_AUTHOR,
    HOME_DROP,
    HOME_PAGE,
    HOME_TRIM,
    NEVER,
)
from repositories.feeds.tombstone_budget import TombstoneBudget
from repositories.records.content import PostRef

CHUNK = 1000


class SqlFeeds(FeedStore):
    def __init__(self, database: FeedDatabase, layout: Layout, retention: Retention) -> None:
        self._feeds = database
        self._retention = retention
        self._author, self._home = layout.author, layout.home
        self._author_budget, self._home_budget = TombstoneBudget(MAX_TOMBSTONES), TombstoneBudget(MAX_TOMBSTONES)
        self.notifications = SqlNotifications(database, layout.notifications, retention)
        self.audit = SqlFeedAudit(database, (self._author, self._home), retention)

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
        values = {"author": self._feeds.key(author), "at": micros(at)}
        rows = self._feeds.rows(HOME_BY_AUTHOR, self._span(owner, self._retention.horizon(), HIGHEST) | values)
        return not self._remove_home_entries(
            [(owner, PostRef(self._feeds.uuid(post), author)) for (post,) in rows], micros(at)
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
        key, written = self._feeds.key(owner), micros(at)
        doomed = {"owner": key, "low": self._feeds.key(self._retention.horizon()), "at": written}
        self._feeds.run((HOME_TRIM, (key, written)), (HOME_DROP, doomed))
        self._home_budget.forget(owner)

    def entries(self, owner: UUID) -> Iterator[PostRef]:
        before: UUID | None = None
        while page := self.home_page(owner, before=before, limit=CHUNK):
            yield from page
            before = page[-1].post_id

    def load(self, author_posts: Iterable[PostRef], home_posts: Iterable[tuple[UUID, PostRef]]) -> None:
        for posts in batched(author_posts, CHUNK):
            self._add_author_entries([(post, millis(post.post_id) * 1000, NEVER) for post in posts])
        for entries in batched(home_posts, CHUNK):
            self._add_home_entries([(owner, post, millis(post.post_id) * 1000, NEVER) for owner, post in entries])

    def _add_author_entries(self, entries: Iterable[tuple[PostRef, int, int]]) -> None:
        key = self._feeds.key
        rows = [(key(post.author_id), key(_checked(post)), *times) for post, *times in entries]
        if rows:
            self._feeds.upsert(AUTHOR_ADD, rows)

    def _add_home_entries(self, entries: Iterable[tuple[UUID, PostRef, int, int]]) -> None:
        key, keeps = self._feeds.key, self._retention.keeps
        rows = [
            (key(owner), key(post.post_id), key(post.author_id), *times)
            for owner, post, *times in entries
            if keeps(post.post_id)
        ]
        if rows:
            self._feeds.upsert(HOME_ADD, rows)

    def _remove_home_entries(self, entries: Sequence[tuple[UUID, PostRef]], removed: int) -> set[UUID]:
        """Returns the owners whose budget is spent."""
        with self._home_budget.spend([(o, self._home.bucket(post.post_id)) for o, post in entries]) as granted:
            self._add_home_entries((o, post, NEVER, removed) for o, post in itertools.compress(entries, granted))
        return {owner for (owner, _), taken in zip(entries, granted, strict=True) if not taken}

    def _page(self, query: str, key: UUID, low: UUID, high: UUID, *, ascending: bool, limit: int) -> list[PostRef]:
        values = self._span(key, low, high) | {"limit": max(limit, 0)}
        rows = self._feeds.rows(f"{query} {'ASC' if ascending else 'DESC'} LIMIT :limit", values)
        uuid = self._feeds.uuid
        return [PostRef(uuid(post), uuid(author)) for post, author in rows]

    def _span(self, owner: UUID, low: UUID, high: UUID) -> dict[str, Any]:
        key = self._feeds.key
        return {"key": key(owner), "low": key(low), "high": key(high), "never": NEVER}


def _checked(post: PostRef) -> UUID:
    millis(post.post_id)
    return post.post_id
