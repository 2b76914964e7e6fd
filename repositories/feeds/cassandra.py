"""Feeds in Cassandra. Tables and the reasons for their shape are in `schema`, the connection is in `session`.

Every statement has the constructor's deadline. A call that writes many entries ends with `Unavailable` when
one of them misses it, and may then be repeated as a whole.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from repositories.feeds import schema
from repositories.feeds.age import HIGHEST, Clock, Retention, below, micros, millis, now, span
from repositories.feeds.markers import Markers
from repositories.feeds.plan import Plan
from repositories.feeds.port import Feeds
from repositories.feeds.schema import AUTHOR, HOME, LONGEST_TTL, Line
from repositories.feeds.session import Call, Link, Row, address
from repositories.records import PostRef

T = TypeVar("T")
# Bucket, post, author, timestamp and seconds to live.
Entry = tuple[int, UUID, UUID, int, int]
# Buckets of one timeline that a page reads at the same time, at most.
WIDEST_WAVE = 16
CHUNK = 1000


class CassandraFeeds(Feeds):
    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta,
        retention: timedelta,
        replication: str = "1",
        read_consistency: str = "LOCAL_QUORUM",
        write_consistency: str = "LOCAL_QUORUM",
        clock: Clock = now,
    ) -> None:
        where = address(url)
        texts = schema.statements(where.keyspace)
        self._link = Link(where, texts, timeout=timeout, read=read_consistency, write=write_consistency)
        self._plan = Plan(where.keyspace, retention, replication)
        self._clock = clock
        self._retention = Retention(retention, clock)
        self._author_markers = Markers(self._link, AUTHOR)
        self._home_markers = Markers(self._link, HOME, self._retention)

    def add_to_author(self, post: PostRef, at: datetime) -> None:
        self._publish([(post, micros(at))])

    def remove_from_author(self, post: PostRef, at: datetime) -> None:
        millis(post.post_id)
        row = (micros(at), post.author_id, AUTHOR.bucket(post.post_id), post.post_id)
        self._link.write("author_remove", [row])

    def author_page(
        self, author: UUID, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        low, high = span(before, after)
        rows = self._page(AUTHOR, author, low, high, rising=after is not None, limit=limit)
        return [PostRef(post_id, author) for (post_id,) in rows]

    def push(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> None:
        entry = self._entry(post, micros(at))
        if entry:
            self._deliver([(owner, *entry) for owner in owners])

    def fill(self, owner: UUID, posts: Sequence[PostRef], at: datetime) -> None:
        written = micros(at)
        entries = (self._entry(post, written) for post in posts)
        self._deliver([(owner, *entry) for entry in entries if entry], together=True)

    def retract(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> None:
        if self._retention.keeps(post.post_id):
            written, bucket = micros(at), HOME.bucket(post.post_id)
            self._link.write("home_remove", [(written, owner, bucket, post.post_id) for owner in owners])

    def purge(self, owner: UUID, author: UUID, at: datetime) -> None:
        written, low = micros(at), self._retention.horizon()
        (marked,) = self._link.read([_marked(HOME, owner, low, HIGHEST)], self._link.deadline())
        for (bucket,) in marked:
            rows = self._link.scan("home_scan", (owner, bucket, low))
            doomed = (post_id for post_id, by, since in rows if by == author and since <= written)
            for chunk in _chunks(doomed):
                self._link.write("home_remove", [(written, owner, bucket, post_id) for post_id in chunk])

    def home_page(
        self, owner: UUID, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        low, high = span(before, after)
        low = max(low, self._retention.horizon())
        rows = self._page(HOME, owner, low, high, rising=after is not None, limit=limit)
        return [PostRef(post_id, author_id) for post_id, author_id in rows]

    def floor(self, owner: UUID) -> UUID | None:
        (rows,) = self._link.read([("floor", (owner,))], self._link.deadline())
        return rows[0][0] if rows else None

    def raise_floor(self, owner: UUID, floor: UUID) -> None:
        # The last write wins, and of equally old ones the greater value: so the highest floor does.
        self._link.write("floor_raise", [(owner, floor, millis(floor) * 1000)])

    def load(self, author_posts: Iterable[PostRef], home_posts: Iterable[tuple[UUID, PostRef]]) -> None:
        for posts in _chunks(author_posts):
            self._publish([(post, millis(post.post_id) * 1000) for post in posts])
        for chunk in _chunks(home_posts):
            entries = ((owner, self._entry(post, millis(post.post_id) * 1000)) for owner, post in chunk)
            self._deliver([(owner, *entry) for owner, entry in entries if entry], together=True)

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return self._plan.migrate(self._link, dry_run=dry_run)

    def ping(self) -> None:
        self._link.ping()

    def close(self) -> None:
        self._link.close()

    def _publish(self, entries: Sequence[tuple[PostRef, int]]) -> None:
        rows = [(post.author_id, _bucket(AUTHOR, post), post.post_id, written) for post, written in entries]
        self._author_markers.ensure((author, bucket) for author, bucket, *_ in rows)
        self._link.write_together("author_add", rows, key=2)

    def _entry(self, post: PostRef, written: int) -> Entry | None:
        """None: past the retention."""
        if not self._retention.keeps(post.post_id):
            return None
        ttl = min(LONGEST_TTL, self._retention.seconds_left(millis(post.post_id)))
        return HOME.bucket(post.post_id), post.post_id, post.author_id, written, ttl

    def _deliver(self, rows: Sequence[tuple[UUID, *Entry]], *, together: bool = False) -> None:
        """`together` when timelines get several entries each: those of one partition then go as one."""
        self._home_markers.ensure([row[:2] for row in rows])
        if together:
            self._link.write_together("home_add", rows, key=2)
        else:
            self._link.write("home_add", rows)

    def _page(self, line: Line, key: UUID, low: UUID, high: UUID, *, rising: bool, limit: int) -> list[Row]:
        """Read the first bucket and the list of buckets at once, then more buckets in growing waves."""
        if limit < 1:
            return []
        deadline = self._link.deadline()
        begin = line.bucket(low if rising else min(high, below(micros(self._clock()) // 1000)))
        query = f"{line.name}_{'rising' if rising else 'falling'}"
        first = (query, (key, begin, low, high, limit))
        marked, rows = self._link.read([_marked(line, key, low, high), first], deadline)
        found = {begin: rows}
        order = sorted({begin, *(bucket for (bucket,) in marked)}, reverse=not rising)
        for wave in _waves():
            ready = list(itertools.takewhile(found.__contains__, order))
            page = [row for bucket in ready for row in found[bucket]]
            if len(page) >= limit or len(ready) == len(order):
                return page[:limit]
            wanted = order[len(ready) : len(ready) + wave]
            calls = [(query, (key, bucket, low, high, limit)) for bucket in wanted]
            found.update(zip(wanted, self._link.read(calls, deadline), strict=True))
        raise AssertionError("waves do not end")


def _marked(line: Line, key: UUID, low: UUID, high: UUID) -> Call:
    return f"{line.name}_buckets", (key, line.bucket(low), line.bucket(high))


def _bucket(line: Line, post: PostRef) -> int:
    millis(post.post_id)
    return line.bucket(post.post_id)


def _waves() -> Iterator[int]:
    wave = 2
    while True:
        yield wave
        wave = min(2 * wave, WIDEST_WAVE)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(itertools.islice(rest, CHUNK)):
        yield chunk
