"""Rebuilding a home timeline: it is requested by an event, and filled from the documents by the event's handler.

Until then pages are pulled. Filling loses nothing: posts published before the documents are read are found there, later
ones are pushed.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from app.events import FeedRequested
from app.services.commands.kit import Kit
from repositories.batched import batched
from repositories.documents import DocumentStore
from repositories.errors import Contention, StoreError
from repositories.feeds import FeedStore
from repositories.relational import RelationalStore

log = logging.getLogger(__name__)
# Tolerated clock skew between servers: a trim spares entries that are younger.
SKEW = timedelta(minutes=1)
CHECKED_BATCH = 200


class TimelineRebuild:
    """`posts` is the most that a rebuild restores. Older ones are pulled."""

    def __init__(
        self, relational: RelationalStore, documents: DocumentStore, feeds: FeedStore, kit: Kit, posts: int
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._clock = kit.clock
        self._pack = kit.emitter
        self._posts = posts

    def request(self, account_id: UUID) -> bool:
        """Request that the home timeline is filled anew from the documents. False for an unknown account."""
        seen_at = self._relational.feed_activity.reader_state(account_id).seen_at
        with self._relational.transaction() as tx:
            known = tx.feed_activity.rebuild(account_id, seen_at)
            if known:
                tx.emit(self._pack(FeedRequested(account_id)))
        return known

    def request_for_stale(self, account_id: UUID) -> None:
        """Request a rebuild because too many entries no longer show. The page was served; logs a `StoreError`."""
        try:
            self.request(account_id)
        except StoreError as error:
            log.warning("stale feed of %s not rebuilt: %s", account_id, error)

    def request_and_trim(self, account_id: UUID) -> None:
        """The tombstone budget is spent: request a rebuild and drop the timeline at once.

        A trim restores the budget of the process that calls it, which need not be the one that fills the timeline.
        """
        if self.request(account_id):
            self._feeds.trim(account_id, self._clock() - SKEW)

    def fill(self, account_id: UUID, at: datetime) -> None:
        """Trim the timeline, fill it from the documents, and mark the reader awake. Idempotent for a request's `at`.

        Raises `Contention` when the reader's generation changed meanwhile, for example because a back-fill raised the
        low watermark: do all of it again.
        """
        reader_state = self._relational.feed_activity.reader_state(account_id)
        if reader_state.state != "waking":
            return
        # This fill may complete a later request too, whose trim hides all entries written more than `SKEW` before it.
        # So the entries get a recent time, but half of `SKEW` in the past: removals from now on have a later time, even
        # by a clock that is behind.
        at = max(at, self._clock() - SKEW / 2)
        self._feeds.trim(account_id, at - SKEW)
        authors = [account_id, *self._relational.graph.followees(account_id)]
        refs = self._documents.posts.by_authors(authors, limit=self._posts)
        self._feeds.audit.restore_home(account_id, refs, at)
        self._remove_deleted(account_id)
        low_watermark = refs[-1].post_id if len(refs) == self._posts else None
        with self._relational.transaction() as tx:
            if not tx.feed_activity.finish(account_id, generation=reader_state.generation, low_watermark=low_watermark):
                raise Contention("the feed changed while it was filled")

    def _remove_deleted(self, account_id: UUID) -> None:
        """Remove entries of deleted posts: recent ones, which a trim spares, if the tombstone budget was spent when
        they were to be removed; and posts deleted while the timeline was filled, if the retraction skipped the reader.
        """
        for batch in batched(self._feeds.audit.home(account_id), CHECKED_BATCH):
            there = self._documents.posts.authors([entry.post_id for entry in batch])
            gone = [entry for entry in batch if entry.post_id not in there]
            if gone:
                self._feeds.audit.remove_home(gone, self._clock())
