"""Who reads, and filling a feed anew.

The feed of a reader who has long been away is not pushed to: it is pulled from the documents, and filled again
when the reader returns. Filling works while serving: meanwhile the reader is `waking`, gets pushes, and pages are
pulled. What was published before is in the documents when they are read, what is published after is pushed.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from app.events import FeedRequested
from app.services.commands.kit import Kit
from repositories.documents import Documents
from repositories.errors import Contention, StoreError
from repositories.feed_records import ReaderState
from repositories.feeds import FeedStore
from repositories.relational import Relational

log = logging.getLogger(__name__)
# Servers' clocks may differ by this much: a timeline is not trimmed of what is younger.
SKEW = timedelta(minutes=1)
LONGEST_SILENCE = timedelta(hours=1)
ASLEEP_AT_ONCE = 100


class FeedActivity:
    def __init__(
        self,
        relational: Relational,
        documents: Documents,
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
        self._noted_after = min(LONGEST_SILENCE, dormant_after / 24)

    def record_read(self, account_id: UUID, reader_state: ReaderState) -> None:
        """The account reads its feed: wake it, or note it once in a while. Reading does not fail for this."""
        now = self._clock()
        try:
            if reader_state.state == "dormant":
                self._wake(account_id, now)
            elif now - reader_state.seen_at >= self._noted_after:
                with self._relational.transaction() as tx:
                    tx.feed_activity.seen(account_id, now)
        except StoreError as error:
            log.warning("reader %s not noted: %s", account_id, error)

    def rebuild(self, account_id: UUID) -> bool:
        """Have the feed filled anew from the truth. False for an unknown account."""
        seen_at = self._relational.feed_activity.reader_state(account_id).seen_at
        with self._relational.transaction() as tx:
            known = tx.feed_activity.rebuild(account_id, seen_at)
            if known:
                tx.emit(self._pack(FeedRequested(account_id)))
        return known

    def rebuild_stale(self, account_id: UUID) -> None:
        """A page met too much that is no longer to be seen. It was served; the next ones should be cheap again."""
        try:
            self.rebuild(account_id)
        except StoreError as error:
            log.warning("stale feed of %s not rebuilt: %s", account_id, error)

    def rebuild_and_trim(self, account_id: UUID) -> None:
        """The timeline takes no more removals: have it filled anew, and what is in it dropped at once.

        That gives it a whole budget, also in this process, which need not be the one that fills it.
        """
        if self.rebuild(account_id):
            self._feeds.trim(account_id, self._clock() - SKEW)

    def fill(self, account_id: UUID, at: datetime) -> None:
        """Trim the timeline, fill it from the truth, and trust it again. Idempotent for a request's `at`.

        Raises `Contention` when a back-fill raised the low watermark meanwhile: then all of it has to be done again.
        """
        reader_state = self._relational.feed_activity.reader_state(account_id)
        if reader_state.state != "waking":
            return
        self._feeds.trim(account_id, at - SKEW)
        authors = [account_id, *self._relational.graph.followees(account_id)]
        refs = self._documents.posts.by_authors(authors, limit=self._posts)
        self._feeds.audit.restore_home(account_id, refs, at)
        low_watermark = refs[-1].post_id if len(refs) == self._posts else None
        with self._relational.transaction() as tx:
            if not tx.feed_activity.finish(account_id, generation=reader_state.generation, low_watermark=low_watermark):
                raise Contention("the feed changed while it was filled")

    def put_to_sleep(self, now: datetime) -> int:
        """Whoever was not seen for long is pushed to no more, and their timelines are dropped. Returns how many."""
        with self._relational.transaction() as tx:
            asleep = tx.feed_activity.sleep(seen_before=now - self._dormant_after, limit=ASLEEP_AT_ONCE)
        for account_id in asleep:
            self._feeds.trim(account_id, now - SKEW)
        return len(asleep)

    def _wake(self, account_id: UUID, now: datetime) -> None:
        with self._relational.transaction() as tx:
            if tx.feed_activity.wake(account_id, now):
                tx.emit(self._pack(FeedRequested(account_id), at=now))
