"""Feed activity: which accounts read their home feed.

A reader is `awake`, `dormant` (has not read for `QUARTET_DORMANT_DAYS`: nothing is pushed, the timeline is dropped) or
`waking` (the timeline is being filled, see `timeline_rebuild.py`; pushes arrive again, pages are still pulled).
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from app.events import FeedRequested
from app.services.commands.kit import Kit
from app.services.feeds.timeline_rebuild import SKEW
from repositories.errors import StoreError
from repositories.feeds import FeedStore
from repositories.records.feeds import ReaderState
from repositories.relational import RelationalStore

log = logging.getLogger(__name__)
# `seen_at` is written at most this often per reader.
SEEN_EVERY = timedelta(hours=1)
SLEEP_BATCH = 100


class FeedActivity:
    def __init__(self, relational: RelationalStore, feeds: FeedStore, kit: Kit, dormant_after: timedelta) -> None:
        self._relational = relational
        self._feeds = feeds
        self._clock = kit.clock
        self._pack = kit.emitter
        self._dormant_after = dormant_after
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
