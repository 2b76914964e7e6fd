"""How often posts are viewed: counted in the process, then beside the cache, then in the documents (write-back).

A view costs its reader no round trip. What a process has counted goes to the cache's store once a second, and from
there the relay carries it to the documents, in numbered batches that count once however often they are applied. Each of
the first two stages may lose what it holds: `docs/caching.md` says how much that is.
"""

import logging
import threading
from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

from repositories.documents import Documents
from repositories.errors import Unavailable
from repositories.hot import ViewCounts

log = logging.getLogger(__name__)
GATHERED = timedelta(seconds=1)
BATCH = 1000
# Of one flush, so that it does not hold up what else the sweeper does.
BATCHES = 10


class Views:
    """Thread-safe. The thread that sends begins with the first view, so each process has its own."""

    def __init__(
        self, buffer: ViewCounts, documents: Documents, every: timedelta, gathered: timedelta = GATHERED
    ) -> None:
        self._buffer = buffer
        self._documents = documents
        self._every = every
        self._next: datetime | None = None
        self._gathered = gathered.total_seconds()
        self._guard = threading.Lock()
        self._seen: Counter[UUID] = Counter()
        self._any, self._ended = threading.Event(), threading.Event()
        self._sender: threading.Thread | None = None

    def seen(self, post_id: UUID) -> None:
        """One view more. Never waits for a store, never fails."""
        with self._guard:
            self._seen[post_id] += 1
            if self._sender is None:
                self._sender = threading.Thread(target=self._send_on, name="views", daemon=True)
                self._sender.start()
        if not self._any.is_set():
            self._any.set()

    def of(self, post_id: UUID) -> int:
        """What has come to the documents."""
        return self._documents.views.counts([post_id])[post_id]

    def send(self) -> None:
        """Hand over what this process has counted. What the buffer does not take for certain is not sent again."""
        with self._guard:
            seen, self._seen = self._seen, Counter()
        try:
            self._buffer.add(seen)
        except Unavailable as error:
            log.warning("%d views are lost: %s", seen.total(), error)

    def flush(self, now: datetime) -> int:
        """Carry what was viewed to the documents, unless that was just done. Returns of how many posts.

        The sweeper's job. May run in several relays at once, and end anywhere: nothing is counted twice.
        """
        if self._next is not None and now < self._next:
            return 0
        self._next = now + self._every
        return sum(self._carry() for _ in range(BATCHES))

    def close(self) -> None:
        """Send what is left."""
        with self._guard:
            sender, self._sender = self._sender, None
        if sender is not None:
            self._ended.set()
            self._any.set()
            sender.join()
            self._ended.clear()
            self.send()

    def _carry(self) -> int:
        batch = self._buffer.take(BATCH)
        if batch is None:
            return 0
        self._documents.views.apply(batch.number, batch.counts)
        self._buffer.done(batch.number)
        return len(batch.counts)

    def _send_on(self) -> None:
        """Wait for a view, gather for a second, send; so nothing is sent while nobody views."""
        while self._any.wait() and not self._ended.wait(self._gathered):
            self._any.clear()
            self.send()
