"""Notifications of PostgreSQL that somebody got an event.

They are sent after the events were committed, in a statement of their own: a server whose queue of notifications is
full refuses every transaction that has one. A process listens on a connection that does nothing else, in a thread that
does little else, since a listener that does not read is what fills that queue.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import closing
from uuid import UUID

import psycopg

from repositories.batched import batched
from repositories.errors import StoreError
from repositories.hot.postgres.database import HotDatabase

log = logging.getLogger(__name__)
_CHANNEL = "quartet_streams"
_NOTIFY = "SELECT pg_notify(?, payload) FROM unnest(?::text[]) AS payload"
# A payload has at most 7,999 bytes, and an id takes 33.
_IDS = 200
# Asking also moves the tail of the queue, which stays full otherwise after its culprit has gone.
_USAGE = "SELECT pg_notification_queue_usage()"
_USAGE_SECONDS = 30.0
# A connection is renewed, since it may be dead without a sign, or lead to what is the primary no more.
_LIFE_SECONDS = 300.0
_READ_SECONDS = 0.2
_AWAY_SECONDS = 0.2
Appended = Callable[[Collection[UUID]], None]


class Wakes:
    """Thread-safe. Listens from the first `watch` until `close`."""

    def __init__(self, database: HotDatabase) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._asked = 0.0
        if not database.pooled:
            database.keep_beside()

    def watch(self, appended: Appended) -> bool:
        """False behind a pooler: who listens there hears nothing."""
        if self._database.pooled:
            return False
        with self._guard:
            if self._thread is None:
                self._closed = threading.Event()
                self._thread = threading.Thread(
                    target=self._listen, args=(appended, self._closed), name="wakes", daemon=True
                )
                self._thread.start()
        return True

    def notify(self, account_ids: Collection[UUID]) -> None:
        """Without a notification readers get their events with their next look."""
        payloads = [",".join(ids) for ids in batched((account_id.hex for account_id in account_ids), _IDS)]
        try:
            self._database.change(_NOTIFY, (_CHANNEL, payloads))
        except StoreError as error:
            log.warning("no notification of live events could be sent: %s", error)

    def close(self) -> None:
        with self._guard:
            thread, self._thread = self._thread, None
            self._closed.set()
        if thread is not None:
            thread.join(timeout=1)

    def _listen(self, appended: Appended, closed: threading.Event) -> None:
        while not closed.is_set():
            try:
                with closing(self._database.connect_beside()) as connection:
                    self._read(connection, appended, closed)
            except psycopg.Error:
                appended(())
                closed.wait(_AWAY_SECONDS)

    def _read(self, connection: psycopg.Connection, appended: Appended, closed: threading.Event) -> None:
        connection.execute(f"LISTEN {_CHANNEL}")
        # What came before.
        appended(())
        until = time.monotonic() + _LIFE_SECONDS
        while not closed.is_set() and time.monotonic() < until:
            # To its end: whoever leaves it earlier loses what came in the same packet.
            for note in connection.notifies(timeout=_READ_SECONDS):
                appended([UUID(part) for part in note.payload.split(",")])
            self._look_at_queue()

    def _look_at_queue(self) -> None:
        if time.monotonic() - self._asked < _USAGE_SECONDS:
            return
        self._asked = time.monotonic()
        try:
            [(self._database.queue_usage,)] = self._database.rows(_USAGE)
        except StoreError:
            return
