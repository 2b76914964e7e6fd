"""Sends the log of events to a sink: a batch at a time, in order, from where its cursor stands.

Each sink has a thread, a cursor and a lease of its own, so one that is slow, away or full holds up nobody else. A sink
that is away is tried again for as long as it takes. What it refuses for good is set aside, and the next goes on.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import msgspec

from app.container import Container
from app.worker.sinks.published import enveloped, leaves
from repositories import meter
from repositories.errors import StoreError
from repositories.records import Event
from repositories.relational import RelationalStore
from repositories.relational.event_log_port import Cursor, Logged
from repositories.sinks import Message, Refused, Sent, Sink

log = logging.getLogger(__name__)
BATCH = 500
LONGEST_REASON = 300
# After a sink was found away: at first, and at most.
SOONEST, LATEST = timedelta(seconds=0.5), timedelta(seconds=15)


class SinkWorker:
    """Serves one sink. `lease` is how long another process waits for one that died; it is renewed while idle."""

    def __init__(self, relational: RelationalStore, sink: Sink, source: str, lease: timedelta, poll: timedelta) -> None:
        self._relational = relational
        self._sink = sink
        self._source = source
        self._lease = lease
        self._poll = poll
        self._cursor: Cursor | None = None
        self._idle = timedelta(0)
        self._known = False

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. What was sent by then is written down."""
        while not stop.is_set():
            if self._guarded_step() == 0:
                stop.wait(self._poll.total_seconds())
                self._idle += self._poll
        self.close()

    def _guarded_step(self) -> int:
        """Log whatever goes wrong and go on: a sink that ends unnoticed leaves its consumers stale."""
        try:
            return self.step()
        except StoreError as error:
            log.warning("the sink %s is not served: %s", self._sink.name, error)
        except Exception:
            log.exception("the sink %s is not served", self._sink.name)
        self._cursor = None
        return 0

    def step(self) -> int:
        """One batch. Returns how many events were sent or set aside: none while others serve the sink, or it waits."""
        cursor = self._cursor = self._cursor or self._claim()
        if cursor is None:
            return 0
        logged = self._relational.event_log.after(cursor.position, limit=BATCH)
        messages, bad = self._messages(logged)
        sent = self._sink.send(messages) if messages else Sent(0)
        failure = sent.failure or bad
        if sent.count or self._idle >= self._lease / 3:
            cursor = self._advance(cursor, logged[sent.count - 1].position if sent.count else cursor.position)
        meter.counted("sent", sent.count, self._sink.name, "sent")
        if cursor is None or failure is None:
            return sent.count
        if isinstance(failure, Refused):
            return sent.count + self._set_aside(cursor, logged[sent.count], failure)
        self._wait(cursor, failure)
        return 0

    def _claim(self) -> Cursor | None:
        if not self._known:
            self._relational.event_log.register(self._sink.name)
            self._known = True
        self._idle = timedelta(0)
        return self._relational.event_log.claim(self._sink.name, lease=self._lease)

    def _advance(self, cursor: Cursor, position: int) -> Cursor | None:
        self._idle = timedelta(0)
        self._cursor = self._relational.event_log.advance(cursor, position, lease=self._lease)
        return self._cursor

    def close(self) -> None:
        """Let others serve the sink at once."""
        with contextlib.suppress(StoreError):
            if self._cursor:
                self._relational.event_log.release(self._cursor, wait=timedelta(0))
        self._cursor = None
        self._sink.close()

    def _messages(self, logged: Sequence[Logged]) -> tuple[list[Message], Refused | None]:
        """Up to the first that no version of this code wrote."""
        messages: list[Message] = []
        for one in logged:
            try:
                made = enveloped(one.event, one.position, self._source)
            except msgspec.DecodeError as error:
                return messages, Refused(f"{one.event.type} cannot be read: {error}")
            messages.append(Message(made.id, made.partitionkey, made.type, msgspec.json.encode(made)))
        return messages, None

    def _set_aside(self, cursor: Cursor, refused: Logged, failure: Refused) -> int:
        log.error("the sink %s refuses %s: %s", cursor.sink, refused.event.id, failure)
        meter.counted("sent", 1, cursor.sink, "dead_lettered")
        with self._relational.transaction() as tx:
            held = tx.event_log.dead_letter(cursor, refused.position, str(failure)[:LONGEST_REASON])
        self._cursor = self._advance(cursor, refused.position) if held else None
        return int(held)

    def _wait(self, cursor: Cursor, failure: Exception) -> None:
        """Give the sink back: whoever tries next may be another process, to whom it answers."""
        attempts = cursor.attempts + 1
        wait = min(LATEST, SOONEST * 2 ** min(attempts - 1, 8))
        log.warning("the sink %s is tried again in %s: %s", cursor.sink, wait, failure)
        meter.counted("sent", 1, cursor.sink, "postponed")
        self._cursor = None
        self._relational.event_log.release(
            cursor, wait=wait, attempts=attempts, reason=str(failure)[:LONGEST_REASON].replace("\0", "\ufffd")
        )


def workers_of(container: Container) -> list[SinkWorker]:
    settings = container.settings
    poll, lease = timedelta(seconds=settings.relay_poll_seconds), timedelta(seconds=settings.sinks_lease_seconds)
    return [
        SinkWorker(container.stores.relational, sink, settings.sinks_source, lease, poll)
        for sink in container.stores.sinks
    ]


@contextlib.contextmanager
def sending(container: Container, stop: threading.Event) -> Iterator[None]:
    """While the block runs, until `stop` is set: a thread for each sink."""
    threads = [
        threading.Thread(target=one.run, args=(stop,), name="sink", daemon=True) for one in workers_of(container)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            # A batch under way has its own deadline.
            thread.join(timeout=container.settings.sinks_timeout + 5)


def log_of(container: Container) -> Callable[[Sequence[Event]], None]:
    """What a relay does with events before their handlers run. Where there is no sink, nothing is kept for one."""
    relational = container.stores.relational

    def append(events: Sequence[Event]) -> None:
        leaving = [event for event in events if leaves(event)]
        if leaving:
            with relational.transaction() as tx:
                tx.event_log.append(leaving)

    return append if container.stores.sinks else lambda _events: None
