"""The feed store: author timelines and home timelines, as ids of posts. A projection that can be rebuilt.

- Order: by post id (UUIDv7), which is by time. Ids and bounds that are not UUIDv7 raise `Invalid`.
- Content: a superset of what the reader may see. Callers filter by the follow graph and by the posts that exist.
- Writes: upserts and removals with the timestamp of their event, so they may be repeated, late or out of order.
  A removal beats every write with the same or an older timestamp that arrives within ten days.
- Pages: newest first below `before` or from the top; oldest first above `after`; with both, oldest first between
  them. Bounds are exclusive. A limit below 1 gives an empty page.
- Errors: every method may raise `Unavailable`.

The low watermark of a home timeline is part of the reader state, in the relational store.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.feeds.audit_port import FeedAudit
from repositories.feeds.notifications_port import Notifications
from repositories.records.content import PostRef
from repositories.store import Store

# The tombstone budget: the most entries that one process removes from one bucket of one timeline.
MAX_TOMBSTONES = 500


class FeedStore(Store, Protocol):
    notifications: Notifications
    audit: FeedAudit

    @abstractmethod
    def add_to_author(self, post: PostRef, at: datetime) -> None:
        """Add a post to its author's timeline, which has no retention."""

    @abstractmethod
    def remove_from_author(self, post: PostRef, at: datetime) -> None: ...

    @abstractmethod
    def author_page(
        self, author: UUID, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        """A page of an author's timeline: one or two round trips if posts are dense."""

    @abstractmethod
    def push(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> None:
        """Add one post to many home timelines: one chunk of a fan-out. Returns when all writes are durable.

        Posts older than the retention are ignored. After `Unavailable` some may be written; repeat the whole call.
        """

    @abstractmethod
    def fill(self, owner: UUID, posts: Sequence[PostRef], at: datetime) -> None:
        """Add many posts to one home timeline: a back-fill."""

    @abstractmethod
    def retract(self, post: PostRef, owners: Sequence[UUID], at: datetime) -> set[UUID]:
        """Remove one deleted post from many home timelines.

        Returns the owners whose tombstone budget (`MAX_TOMBSTONES`) is spent. They keep the entry; rebuild their
        timelines. The budget bounds the tombstones that a page scans.
        """

    @abstractmethod
    def purge(self, owner: UUID, author: UUID, at: datetime) -> bool:
        """Remove one author's entries written up to `at` from one home timeline: an unfollow, a block.

        False when the tombstone budget is spent: some entries are left, and the timeline should be rebuilt.

        Only entries that are there now are removed. An entry that arrives later is added even if its timestamp is
        older than `at`. A removed entry comes back only by a write newer than `at`, such as a new follow's back-fill.
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
        """A page without entries older than the retention (by the time in their ids) or below `low_watermark`.

        The watermark avoids a scan over rows below it that were dropped and are not compacted yet.
        """

    @abstractmethod
    def trim(self, owner: UUID, at: datetime) -> None:
        """Drop the entries of a home timeline written up to `at`, by whole buckets, before a rebuild.

        Writes that arrive later with a timestamp up to `at` have no effect. Restores the tombstone budget.
        """

    @abstractmethod
    def entries(self, owner: UUID) -> Iterator[PostRef]:
        """Every entry of a home timeline within the retention, newest first, fetched in batches."""

    def sweep(self) -> int:
        """Prepare storage for future entries and free that of expired ones, if the engine does not do so by itself.

        The relay calls it at any time. Returns the number of changes. Idempotent; may run in several processes at once.
        """
        return 0

    @abstractmethod
    def load(self, author_posts: Iterable[PostRef], home_posts: Iterable[tuple[UUID, PostRef]]) -> None:
        """Add many entries, for seeding. Timestamps are those of the post ids. Idempotent."""
