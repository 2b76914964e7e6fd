"""View counts of posts, written back in three stages: process memory, the buffer beside the cache, the documents.

A view costs its reader no round trip. Each process adds its counts to the buffer once a second. The relay moves them
to the documents in numbered batches, each of which is applied once. The first two stages may lose counts;
`docs/caching.md` says how many.
"""

import logging
import threading
from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

from repositories.documents import DocumentStore
from repositories.errors import Unavailable
from repositories.hot import ViewCounts

log = logging.getLogger(__name__)
GATHERED = timedelta(seconds=1)
BATCH = 1000
# Batches per flush at most, so that the sweeper's other jobs are not delayed.
BATCHES = 10


class Views:
    """Thread-safe. The sending thread starts with the first view, so each forked process has its own."""

    def __init__(
        self, buffer: ViewCounts, documents: DocumentStore, every: timedelta, gathered: timedelta = GATHERED
    ) -> None:
        self._buffer = buffer
        self._documents = documents
        self._every = every
        self._next: datetime | None = None
        self._gathered = gathered.total_seconds()
        self._guard = threading.Lock()
        self._seen: Counter[UUID] = Counter()
        self._pending, self._ended = threading.Event(), threading.Event()
        self._sender: threading.Thread | None = None

    def seen(self, post_id: UUID) -> None:
        """Count one view. Calls no store and never raises."""
        with self._guard:
            self._seen[post_id] += 1
            if self._sender is None:
                self._sender = threading.Thread(target=self._send_loop, name="views", daemon=True)
                self._sender.start()
        if not self._pending.is_set():
            self._pending.set()

    def of(self, post_id: UUID) -> int:
        """The views of a post that have reached the documents."""
        return self._documents.views.counts([post_id])[post_id]

    def send(self) -> None:
        """Send this process's counts to the buffer. After an error they are lost: sending again could count twice."""
        with self._guard:
            seen, self._seen = self._seen, Counter()
        try:
            self._buffer.add(seen)
        except Unavailable as error:
            log.warning("%d views are lost: %s", seen.total(), error)

    def flush(self, now: datetime) -> int:
        """Move counts from the buffer to the documents, at most once per `every`. Returns the number of posts.

        A job of the sweeper. Several relays may run it concurrently and crash anywhere: nothing is counted twice.
        """
        if self._next is not None and now < self._next:
            return 0
        self._next = now + self._every
        return sum(self._move_batch() for _ in range(BATCHES))

    def close(self) -> None:
        """End the sending thread and send the remaining counts."""
        with self._guard:
            sender, self._sender = self._sender, None
        if sender is not None:
            self._ended.set()
            self._pending.set()
            sender.join()
            self._ended.clear()
            self.send()

    def _move_batch(self) -> int:
        batch = self._buffer.take(BATCH)
        if batch is None:
            return 0
        self._documents.views.apply(batch.number, batch.counts)
        self._buffer.done(batch.number)
        return len(batch.counts)

    def _send_loop(self) -> None:
        """Loop: wait for a view, collect views for `gathered`, send. Without views nothing is sent."""
        while self._pending.wait() and not self._ended.wait(self._gathered):
            self._pending.clear()
            self.send()
