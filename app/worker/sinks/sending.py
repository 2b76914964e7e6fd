"""Sends the event log to a sink: batch by batch, in order, from the position of the sink's cursor.

Each sink has its own thread, cursor and lease, so that a slow, unavailable or full sink does not delay the others. An
event that the sink refuses permanently is dead-lettered, and the next one is sent. `Policy` says how long an
unavailable sink is retried. After a failure the batch size starts at one event and doubles, so that a slow sink makes
progress and few events are sent twice.
"""

import contextlib
import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import msgspec
from msgspec import Struct

from app.container import Container
from app.telemetry import spans
from app.worker import relay_spans
from app.worker.sinks.backoff import doubling
from app.worker.sinks.reading import Batch, LogReading, Stop, unreadable
from repositories import meter
from repositories.errors import StoreError
from repositories.relational import RelationalStore
from repositories.relational.event_log_port import Cursor, Logged
from repositories.relational.webhooks_port import series_of
from repositories.sinks import AskedToWait, Gone, Message, Refused, Sent, Sink

log = logging.getLogger(__name__)
# The number of dead letters that are retried per claim.
AGAIN = 500
LONGEST_REASON = 300
# After `LONG` seconds nothing is added to a send, and the next one gets half as many events, so that a failure repeats
# few. It is not reduced below `FEW` events: several at once are better for a slow receiver.
LONG, FEW = 1.0, 32


class Policy(Struct, frozen=True):
    """How a sink is served. The defaults are for a broker: it gets all types, and is retried without end.

    `wants` filters event types, and `wait` gives the pause after a number of failed tries. An event that has been tried
    for `event_tried` is dead-lettered, and a sink that has accepted nothing for `sink_tried` is disabled; None means
    never.
    """

    wants: Callable[[str], bool] | None = None
    wait: Callable[[int], timedelta] = doubling
    event_tried: timedelta | None = None
    sink_tried: timedelta | None = None


class SinkWorker:
    """Serves one sink. After this process dies, another takes over within `lease`, which is renewed while idle."""

    def __init__(
        self,
        relational: RelationalStore,
        sink: Sink,
        source: str,
        lease: timedelta,
        poll: timedelta,
        policy: Policy | None = None,
    ) -> None:
        """Without a `policy` the sink is a broker, whose cursor is registered. With one, the cursor exists already."""
        self._relational = relational
        self._sink = sink
        self._lease = lease
        self._poll = poll
        self._cursor: Cursor | None = None
        self._idle = timedelta(0)
        self._known = policy is not None
        self._policy = policy or Policy()
        self._reading = LogReading(relational, source, self._policy.wants)
        self._repeats: list[Logged] = []
        self._next: Batch | None = None
        # How many events to send at once. Adapts to the outcome of the last sends.
        self._most = sink.window

    def run(self, stop: threading.Event) -> None:
        """Serve the sink until `stop` is set, then release it. Everything sent by then is recorded."""
        while not stop.is_set():
            if self._guarded_step() == 0:
                stop.wait(self._poll.total_seconds())
                self._idle += self._poll
        self.close()

    def _guarded_step(self) -> int:
        """Log every error and go on: if the worker ended unnoticed, the sink's consumers would become stale."""
        try:
            return self.step()
        except StoreError as error:
            log.warning("the sink %s is not served: %s", self._sink.name, error)
        except Exception:
            log.exception("the sink %s is not served", self._sink.name)
        self._cursor = None
        return 0

    def step(self) -> int:
        """Send one batch. Returns how many events were sent, skipped or dead-lettered.

        That is 0 if there are none, while another process serves the sink, and while the sink has to wait.
        """
        cursor = self._cursor = self._cursor or self._claim()
        if cursor is None:
            return 0
        if self._repeats:
            return self._resend(cursor, self._repeats.pop(0))
        ahead, self._next = self._next, None
        # The batch that was read ahead is useless if another process has moved the cursor.
        most = min(self._most, self._sink.batch)
        batch = ahead if ahead and ahead.after == cursor.position else self._reading.batch(cursor.position, most)
        return self._settle(cursor, batch, self._send(batch))

    def _read_ahead(self, batch: Batch, until: float) -> Sequence[Message]:
        """Read the next events while `batch` is being sent, and return messages to send along with it.

        If the batch is full or the time `until` is over, they are kept for the next step instead. A store error is
        ignored: the next step reads again and meets it.
        """
        # After a failure or a slow send nothing is added until the batch size is back to normal.
        if not batch.more or self._most < self._sink.batch:
            return ()
        with contextlib.suppress(StoreError):
            following = self._reading.batch(batch.end, self._sink.batch)
            if len(batch.read) < self._most and time.monotonic() < until:
                batch.add(following)
                relay_spans.sent_too(following.messages, len(batch.ids))
                return following.messages
            self._next = following if following.read else None
        return ()

    def _send(self, batch: Batch) -> Sent:
        sent, begun = Sent(0), time.monotonic()
        if batch.messages:
            with relay_spans.sending(series_of(self._sink.name), self._sink.destination, batch.messages):
                sent = self._sink.send(batch.messages, partial(self._read_ahead, batch, begun + LONG))
                if sent.failure:
                    spans.failed(sent.failure)
        self._most = min(2 * self._most, self._sink.window)
        if time.monotonic() - begun > LONG:
            self._most = max(len(batch.ids) // 2, min(FEW, self._most))
        return sent

    def _settle(self, cursor: Cursor, batch: Batch, sent: Sent) -> int:
        """Record the outcome of a batch. Returns how many events are done with."""
        stop = batch.bad
        if sent.count < len(batch.ids):
            stop = Stop(batch.wanted[sent.count], batch.ids[sent.count], sent.failure)
        over = bisect_left(batch.read, stop.position) if stop else len(batch.read)
        moved: Cursor | None = cursor
        if over or self._idle >= self._lease / 3:
            to = batch.read[over - 1] if over else cursor.position
            moved = self._advance(cursor, to, delivered=sent.count > 0)
        self._counted(sent.count, "sent")
        if stop:
            self._next = None
        if moved is None or stop is None or stop.why is None:
            return over
        if isinstance(stop.why, Refused):
            return over + self._set_aside(moved, stop, stop.why)
        return self._failed(moved, stop, stop.why)

    def _resend(self, cursor: Cursor, dead: Logged) -> int:
        """Send a dead letter once more. If that fails, it stays a dead letter with the new reason."""
        failure: Exception | None
        try:
            sent = self._sink.send([self._reading.message(dead)])
        except msgspec.DecodeError as error:
            sent, failure = Sent(0), unreadable(dead, error)
        else:
            failure = sent.failure
        with self._relational.transaction() as tx:
            if sent.count:
                tx.event_log.settle(cursor.sink, [dead.position])
            else:
                tx.event_log.dead_letter(cursor, dead.position, _reason(failure))
        return 1

    def _claim(self) -> Cursor | None:
        if not self._known:
            self._relational.event_log.register(self._sink.name)
            self._known = True
        self._idle = timedelta(0)
        cursor = self._relational.event_log.claim(self._sink.name, lease=self._lease)
        if cursor and cursor.attempts:
            self._most = 1
        elif cursor:
            dead = self._relational.event_log.dead_letters(self._sink.name, after=0, limit=AGAIN)
            self._repeats = [one.logged for one in dead if one.again]
        return cursor

    def _advance(self, cursor: Cursor, position: int, *, delivered: bool) -> Cursor | None:
        self._idle = timedelta(0)
        log = self._relational.event_log
        self._cursor = log.advance(cursor, position, lease=self._lease, delivered=delivered)
        return self._cursor

    def close(self) -> None:
        """Release the cursor, so that another process can serve the sink at once, and close the sink."""
        with contextlib.suppress(StoreError):
            if self._cursor:
                self._relational.event_log.release(self._cursor, wait=timedelta(0))
        self._cursor = None
        self._sink.close()

    def _set_aside(self, cursor: Cursor, stop: Stop, failure: Exception) -> int:
        log.error("the sink %s refuses %s: %s", cursor.sink, stop.event_id, failure)
        self._counted(1, "dead_lettered")
        with self._relational.transaction() as tx:
            held = tx.event_log.dead_letter(cursor, stop.position, _reason(failure))
        self._cursor = self._advance(cursor, stop.position, delivered=False) if held else None
        return int(held)

    def _failed(self, cursor: Cursor, stop: Stop, failure: Exception) -> int:
        policy = self._policy
        if isinstance(failure, Gone) or self._has_passed(cursor.failing_since, policy.sink_tried):
            self._give_back(cursor, failure, disabled=True)
        elif self._has_passed(cursor.tried_since, policy.event_tried):
            return self._set_aside(cursor, stop, failure)
        else:
            self._give_back(cursor, failure, disabled=False)
        return 0

    def _counted(self, count: int, outcome: str) -> None:
        meter.counted("sent", count, series_of(self._sink.name), outcome)

    def _has_passed(self, since: datetime | None, longest: timedelta | None) -> bool:
        return since is not None and longest is not None and self._relational.now() - since >= longest

    def _give_back(self, cursor: Cursor, failure: Exception, *, disabled: bool) -> None:
        """Release the cursor with a wait. The next try may be made by another process, which may reach the sink."""
        attempts = cursor.attempts + 1
        wait = self._policy.wait(attempts)
        if isinstance(failure, AskedToWait):
            wait = max(wait, failure.wait)
        log.warning("the sink %s is %s: %s", cursor.sink, "disabled" if disabled else f"tried again in {wait}", failure)
        self._counted(1, "postponed")
        self._cursor = None
        self._relational.event_log.release(
            cursor, wait=wait, attempts=attempts, reason=_reason(failure), disabled=disabled
        )


def _reason(failure: Exception | None) -> str:
    """The failure as text that every database can store: bounded, without NUL."""
    return str(failure)[:LONGEST_REASON].replace("\0", "\ufffd")


def worker_of(container: Container, sink: Sink, policy: Policy | None = None) -> SinkWorker:
    settings = container.settings
    poll, lease = timedelta(seconds=settings.relay_poll_seconds), timedelta(seconds=settings.sinks_lease_seconds)
    return SinkWorker(container.stores.relational, sink, settings.sinks_source, lease, poll, policy)
