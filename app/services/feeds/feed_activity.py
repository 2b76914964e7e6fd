"""Feed activity: which accounts read their home feed, and rebuilding a home timeline.

A reader is `awake`, `dormant` (has not read for `QUARTET_DORMANT_DAYS`: nothing is pushed, the timeline is dropped) or
`waking` (the timeline is being filled; pushes arrive again, pages are still pulled). Filling loses nothing: posts
published before the documents are read are found there, later ones are pushed.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from app.events import FeedRequested
from app.services.commands.kit import Kit
from repositories.batched import batched
from repositories.documents import DocumentStore
from repositories.errors import Contention, StoreError
from repositories.feed_records import ReaderState
from repositories.feeds import FeedStore
from repositories.relational import RelationalStore

log = logging.getLogger(__name__)
# Tolerated clock skew between servers: a trim spares entries that are younger.
SKEW = timedelta(minutes=1)
# `seen_at` is written at most this often per reader.
SEEN_EVERY = timedelta(hours=1)
SLEEP_BATCH = 100
CHECKED_BATCH = 200


class FeedActivity:
    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        feeds: FeedStore,
        kit: Kit,
        dormant_after: timedelta,
        posts: int,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._feeds = feeds
        self._clock = kit.clock
        self._pack = kit.emitter
        self._dormant_after = dormant_after
        self._posts = posts
        self._seen_every = min(SEEN_EVERY, dormant_after / 24)

    def record_read(self, account_id: UUID, reader_state: ReaderState) -> None:
        """Wake a dormant reader; update the `seen_at` of any other now and then. Logs a `StoreError`."""
        now = self._clock()
        try:
            if reader_state.state == "dormant":
                self._wake(account_id, now)
            elif now - reader_state.seen_at >= self._seen_every:
                with self._relational.transaction() as tx:
                    tx.feed_activity.seen(account_id, now)
        except StoreError as error:
            log.warning("feed activity of %s not recorded: %s", account_id, error)

    def awake_until(self, reader_state: ReaderState) -> datetime:
        """The time until which an awake reader with this state is not put to sleep, given clock skew up to `SKEW`."""
        return reader_state.seen_at + self._dormant_after - SKEW

    def rebuild(self, account_id: UUID) -> bool:
        """Request that the home timeline is filled anew from the documents. False for an unknown account."""
        seen_at = self._relational.feed_activity.reader_state(account_id).seen_at
        with self._relational.transaction() as tx:
            known = tx.feed_activity.rebuild(account_id, seen_at)
            if known:
                tx.emit(self._pack(FeedRequested(account_id)))
        return known

    def rebuild_stale(self, account_id: UUID) -> None:
        """Rebuild a timeline with too many entries that no longer show. The page was served; logs a `StoreError`."""
        try:
            self.rebuild(account_id)
        except StoreError as error:
            log.warning("stale feed of %s not rebuilt: %s", account_id, error)

    def rebuild_and_trim(self, account_id: UUID) -> None:
        """The tombstone budget is spent: request a rebuild and drop the timeline at once.

        A trim restores the budget of the process that calls it, which need not be the one that fills the timeline.
        """
        if self.rebuild(account_id):
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

    def put_to_sleep(self, now: datetime) -> int:
        """Mark a batch of silent readers as dormant and drop their timelines. Returns how many."""
        with self._relational.transaction() as tx:
            asleep = tx.feed_activity.sleep(seen_before=now - self._dormant_after, limit=SLEEP_BATCH)
        for account_id in asleep:
            self._feeds.trim(account_id, now - SKEW)
        return len(asleep)

    def _wake(self, account_id: UUID, now: datetime) -> None:
        with self._relational.transaction() as tx:
            if tx.feed_activity.wake(account_id, now):
                tx.emit(self._pack(FeedRequested(account_id), at=now))
