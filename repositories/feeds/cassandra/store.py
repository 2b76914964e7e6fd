"""Feeds in Cassandra. The tables and the reasons for their shape are in `schema`, the connection is in `link`.

Every statement has the constructor's `timeout` as its deadline. A call that writes many entries raises `Unavailable`
when one statement misses it; repeat the whole call then.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from repositories.batched import batched
from repositories.feeds.cassandra import schema
from repositories.feeds.cassandra.audit import CassandraAudit
from repositories.feeds.cassandra.bucket_markers import Markers
from repositories.feeds.cassandra.migrate import Migration
from repositories.feeds.cassandra.moving import CassandraFeedsPlace
from repositories.feeds.cassandra.moving_gate import GatedLink
from repositories.feeds.cassandra.notifications import CassandraNotifications
from repositories.feeds.cassandra.pages import Pages
from repositories.feeds.cassandra.schema import LONGEST_TTL
from repositories.feeds.cassandra.target import target_of
from repositories.feeds.id_time import HIGHEST, LOWEST, just_below, micros, millis, span
from repositories.feeds.layout import Layout, TimelineKind
from repositories.feeds.port import MAX_TOMBSTONES, FeedStore
from repositories.feeds.retention import Clock, Retention, now, seconds_until
from repositories.feeds.tombstone_budget import TombstoneBudget
from repositories.read_your_writes import HostState
from repositories.records.content import PostRef

# Bucket, post, author, timestamp and seconds to live.
Entry = tuple[int, UUID, UUID, int, int]
CHUNK = 1000
# Entries; about half a kilobyte each.
REMEMBERED = 8192


class CassandraFeeds(FeedStore):
    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta,
        retention: timedelta,
        replication: str = "1",
        read_consistency: str = "LOCAL_QUORUM",
        write_consistency: str = "LOCAL_QUORUM",
        layout: Layout = Layout(),  # noqa: B008 - frozen
        clock: Clock = now,
    ) -> None:
        where = target_of(url)
        texts = schema.statements(where.keyspace)
        self._plan = Migration(where.keyspace, retention, replication, layout)
        self._link = GatedLink(
            where, texts, self._plan.confirm, timeout=timeout, read=read_consistency, write=write_consistency
        )
        self._retention = Retention(retention, clock)
        self._author, self._home = layout.author, layout.home
        self._author_pages = Pages(self._link, self._author, clock)
        self._home_pages = Pages(self._link, self._home, clock)
        self._author_markers = Markers(self._link, self._author)
        self._home_markers = Markers(self._link, self._home, self._retention)
        self._author_budget, self._home_budget = TombstoneBudget(MAX_TOMBSTONES), TombstoneBudget(MAX_TOMBSTONES)
        self.notifications = CassandraNotifications(self._link, layout.notifications, self._retention, clock)
        self.place = CassandraFeedsPlace(self._link, where.keyspace, layout, self._retention)
        kinds = self._author, self._home
        self.audit = CassandraAudit(self._link, self._author_pages, self._home_pages, kinds, self._retention)

    def add_to_author(self, post: PostRef, at: datetime) -> None:
        self._add_author_entries([(post, micros(at))])

    def remove_from_author(self, post: PostRef, at: datetime) -> None:
        bucket = _bucket(self._author, post)
        with self._author_budget.spend([(post.author_id, bucket)]) as granted:
            rows = [(micros(at), post.author_id, bucket, post.post_id)]
            self._link.write("author_remove", itertools.compress(rows, granted))

    def author_page(
        self, author: UUID, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        low, high = span(before, after)
        rows = self._author_pages.page(author, low, high, ascending=after is not None, limit=limit)
        return [PostRef(post_id, author) for (post_id,) in rows]

    def push(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> None:
        entry = self._entry(post, micros(at))
        if entry:
            self._add_home_entries([(owner, *entry) for owner in owners])

    def fill(self, owner: UUID, posts: Sequence[PostRef], at: datetime) -> None:
        written = micros(at)
        entries = (self._entry(post, written) for post in posts)
        self._add_home_entries([(owner, *entry) for entry in entries if entry], together=True)

    def retract(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> set[UUID]:
        if not self._retention.keeps(post.post_id):
            return set()
        bucket = self._home.bucket(post.post_id)
        return self._remove_home_entries([(owner, bucket, post.post_id) for owner in owners], at)

    def purge(self, owner: UUID, author: UUID, at: datetime) -> bool:
        written, low = micros(at), self._retention.horizon()
        complete = True
        for bucket in self._home_pages.marked(owner, low, HIGHEST):
            rows = self._link.scan("home_scan", (owner, bucket, low))
            found = ((owner, bucket, post_id) for post_id, by, since in rows if by == author and since <= written)
            doomed = list(itertools.islice(found, MAX_TOMBSTONES + 1))
            complete = not self._remove_home_entries(doomed, at) and complete
        return complete

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
        # A row without an author is damaged: it belongs to nobody until the drift doctor repairs it.
        if after is None:
            return [_ref(*row) for row in self._home_pages.newest(owner, low, high, limit=limit)]
        rows = self._home_pages.page(owner, low, high, ascending=True, limit=limit)
        return [PostRef(post_id, author_id or LOWEST) for post_id, author_id in rows]

    def trim(self, owner: UUID, at: datetime) -> None:
        """One partition delete per bucket of the retention, marked or not, so that late writes have no effect."""
        low, written = self._retention.horizon(), micros(at)
        buckets = {*self._home_pages.marked(owner, low, HIGHEST), *self._retention.buckets(self._home)}
        self._link.write("home_drop", [(written, owner, bucket) for bucket in buckets])
        self._home_budget.forget(owner)

    def entries(self, owner: UUID) -> Iterator[PostRef]:
        low = self._retention.horizon()
        for bucket in self._home_pages.marked(owner, low, HIGHEST):
            for post_id, author_id, _ in self._link.scan("home_scan", (owner, bucket, low)):
                yield PostRef(post_id, author_id)

    def load(self, author_posts: Iterable[PostRef], home_posts: Iterable[tuple[UUID, PostRef]]) -> None:
        for posts in batched(author_posts, CHUNK):
            self._add_author_entries([(post, millis(post.post_id) * 1000) for post in posts], loading=True)
        for chunk in batched(home_posts, CHUNK):
            self._add_home_entries(list(self._loaded(chunk)), together=True, loading=True)

    def _loaded(self, home_posts: Iterable[tuple[UUID, PostRef]]) -> Iterator[tuple[UUID, *Entry]]:
        """Like `_entry` for many posts, reading the clock once."""
        oldest, width = self._retention.oldest(), self._home.width_ms
        for owner, post in home_posts:
            at = millis(post.post_id)
            if at >= oldest:
                ttl = min(LONGEST_TTL, seconds_until(at - oldest))
                yield owner, at // width, post.post_id, post.author_id, at * 1000, ttl

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return self._plan.migrate(self._link, dry_run=dry_run)

    def ping(self) -> None:
        self._link.ping()

    def notes(self) -> list[str]:
        return self._link.notes()

    def hosts(self) -> list[HostState]:
        return self._link.hosts()

    def close(self) -> None:
        self._link.close()

    def _add_author_entries(self, entries: Sequence[tuple[PostRef, int]], *, loading: bool = False) -> None:
        rows = [(post.author_id, _bucket(self._author, post), post.post_id, written) for post, written in entries]
        self._author_markers.ensure({row[:2] for row in rows}, together=loading)
        self._link.write_together("author_add", rows, key=2, loading=loading)

    def _entry(self, post: PostRef, written: int) -> Entry | None:
        """None for a post older than the retention."""
        if not self._retention.keeps(post.post_id):
            return None
        ttl = min(LONGEST_TTL, self._retention.seconds_left(millis(post.post_id)))
        return self._home.bucket(post.post_id), post.post_id, post.author_id, written, ttl

    def _add_home_entries(
        self, rows: Sequence[tuple[UUID, *Entry]], *, together: bool = False, loading: bool = False
    ) -> None:
        """`together`: one batch per partition, for timelines that get several entries each."""
        places = [row[:2] for row in rows]
        self._home_markers.ensure(set(places) if together else places, together=loading)
        if together:
            self._link.write_together("home_add", rows, key=2, loading=loading)
        else:
            self._link.write("home_add", rows)

    def _remove_home_entries(self, entries: Sequence[tuple[UUID, int, UUID]], at: datetime) -> set[UUID]:
        """Returns the owners whose budget is spent."""
        written = micros(at)
        with self._home_budget.spend([entry[:2] for entry in entries]) as granted:
            rows = ((written, *entry) for entry in entries)
            self._link.write("home_remove", itertools.compress(rows, granted))
        return {entry[0] for entry, taken in zip(entries, granted, strict=True) if not taken}


# Cached, since many readers have the same posts, and making the UUIDs is most of the cost of a row.
@lru_cache(REMEMBERED)
def _ref(post_id: bytes, author_id: bytes | None) -> PostRef:
    return PostRef(UUID(bytes=post_id), UUID(bytes=author_id) if author_id else LOWEST)


def _bucket(kind: TimelineKind, post: PostRef) -> int:
    millis(post.post_id)
    return kind.bucket(post.post_id)
