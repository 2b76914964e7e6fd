"""Feeds: ids of posts in author timelines and home timelines. A projection: all of it can be rebuilt.

Timelines order posts by id (UUIDv7), which is by time. They hold a superset of what a reader may see; who
reads filters by the graph and by what still exists. Every write is an upsert or a removal that takes its
timestamp from the event behind it, so that repeating it, late or out of order, changes nothing.
A removal of an entry beats every write of it that is not newer, also one that comes up to ten days later.
Every method may raise `Unavailable`. Down to where a home timeline is complete is kept with its reader, in the
relational store.

Pages run in the direction of travel: newest first below `before` (or from the top), oldest first above
`after`; with both, oldest first between them. Bounds are exclusive.
Post ids and bounds that are not UUIDv7 are `Invalid`: stores order them differently.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.feeds.audit_port import FeedAudit
from repositories.feeds.notifications_port import Notifications
from repositories.records import PostRef
from repositories.store import Store

# Removals of single entries that one bucket of one timeline takes from one process.
MAX_TOMBSTONES = 500


class FeedStore(Store, Protocol):
    notifications: Notifications
    audit: FeedAudit

    @abstractmethod
    def add_to_author(self, post: PostRef, at: datetime) -> None:
        """Put a post on its author's timeline, which keeps all history."""

    @abstractmethod
    def remove_from_author(self, post: PostRef, at: datetime) -> None: ...

    @abstractmethod
    def author_page(
        self, author: UUID, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        """One or two round trips where posts are dense. A limit below 1 gives an empty page."""

    @abstractmethod
    def push(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> None:
        """Deliver one post to many home timelines: one chunk of a fan-out. Returns when all are durable.

        A post beyond the retention is not kept. After `Unavailable` some may have got it; repeat the whole.
        """

    @abstractmethod
    def fill(self, owner: UUID, posts: Sequence[PostRef], at: datetime) -> None:
        """Deliver many posts to one home timeline: a back-fill."""

    @abstractmethod
    def retract(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> set[UUID]:
        """Take one post out of many home timelines: the post was deleted.

        Returns those whose budget of removals is used up: they keep it, for who reads filters, and are better filled
        anew. The budget bounds the tombstones a page has to pass over: see `MAX_TOMBSTONES`.
        """

    @abstractmethod
    def purge(self, owner: UUID, author: UUID, at: datetime) -> bool:
        """Take what is by one author and not newer than `at` out of one home timeline: an unfollow, a block.

        False when that would be more removals than a timeline's budget: some are left in, and the timeline is
        better filled anew.

        It leaves no rule behind: an entry that was not there yet, or was taken out before, is put in by a
        write that comes later, even if that is older than `at`. Who reads must filter, as always. What it
        took out comes back only by a write that is newer than `at`, such as the back-fill of a new follow.
        """

    @abstractmethod
    def home_page(
        self,
        owner: UUID,
        *,
        before: UUID | None = None,
        after: UUID | None = None,
        limit: int,
        low_watermark: UUID | None = None,
    ) -> list[PostRef]:
        """Nothing older than the retention, by the time in its id, nor what is not above `low_watermark`.

        A low watermark spares the way over what was dropped below it.
        """

    @abstractmethod
    def trim(self, owner: UUID, at: datetime) -> None:
        """Drop what a home timeline got up to `at`, by whole buckets, before it is filled anew.

        It also keeps out what is written later with a time up to `at`.
        """

    @abstractmethod
    def entries(self, owner: UUID) -> Iterator[PostRef]:
        """Every entry of a home timeline within the retention, newest first, in batches: for the drift doctor."""

    @abstractmethod
    def load(self, author_posts: Iterable[PostRef], home_posts: Iterable[tuple[UUID, PostRef]]) -> None:
        """Many entries, for seeding and rebuilding, with timestamps taken from the post ids. Idempotent."""
