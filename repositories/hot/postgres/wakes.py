"""Notifications (`LISTEN`, `NOTIFY`) that accounts got live events.

They are sent after the events were committed, in a statement of their own: a server whose notification queue is full
refuses every transaction that sends one. Each process listens on a dedicated connection, in a thread that does little
else, since a listener that does not read is what fills that queue.
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
# This query also advances the tail of the queue, which otherwise stays full after the slow listener has gone.
_USAGE = "SELECT pg_notification_queue_usage()"
_USAGE_SECONDS = 30.0
# The connection is renewed, since it may be dead unnoticed, or lead to a server that is no longer the primary.
_LIFE_SECONDS = 300.0
_READ_SECONDS = 0.2
_AWAY_SECONDS = 0.2
Appended = Callable[[Collection[UUID]], None]


class Wakes:
    """Sends notifications, and listens from the first `watch` until `close`. Thread-safe."""

    def __init__(self, database: HotDatabase) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._asked = 0.0
        if not database.pooled:
            database.keep_beside()

    def watch(self, appended: Appended) -> bool:
        """Start to listen. False behind a connection pooler, where notifications do not arrive."""
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
        """Notify about these accounts. If that fails, readers get their events with the next poll."""
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
        # For the events before `LISTEN`: any account may have some.
        appended(())
        until = time.monotonic() + _LIFE_SECONDS
        while not closed.is_set() and time.monotonic() < until:
            # Read to the end: leaving the loop early loses notifications of the same packet.
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
