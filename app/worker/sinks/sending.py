"""Sends the log of events to a sink: a batch at a time, in order, from where its cursor stands.

Each sink has a thread, a cursor and a lease of its own, so one that is slow, away or full holds up nobody else. What
it refuses for good is set aside, and the next goes on. How long a sink that is away is tried again is its `Policy`.
After a failure one event is tried, then two, and so on: so one that is slow gets on, and few events come again.
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
from app.worker.sinks.reading import Batch, LogReading, Stop, unreadable
from repositories import meter
from repositories.errors import StoreError
from repositories.relational import RelationalStore
from repositories.relational.event_log_port import Cursor, Logged
from repositories.relational.webhooks_port import series_of
from repositories.sinks import AskedToWait, Gone, Message, Refused, Sent, Sink

log = logging.getLogger(__name__)
# Dead letters that are tried again at once.
AGAIN = 500
LONGEST_REASON = 300
# Seconds of a send: nothing is added to one that takes longer, and the next one is smaller. So of one that fails little
# comes again. A few are sent all the same: a receiver that is slow gets several at once.
LONG, FEW = 1.0, 32
# After a broker was found away: at first, and at most.
SOONEST, LATEST = timedelta(seconds=0.5), timedelta(seconds=15)


def doubling(attempts: int) -> timedelta:
    """How long to wait after so many failed tries."""
    return min(LATEST, SOONEST * float(2 ** min(attempts - 1, 8)))


class Policy(Struct, frozen=True):
    """How a sink is served. A broker gets all types (`wants` is None), and is tried again for ever.

    An event is set aside when it was tried for `event_tried`, and the sink disabled when it took nothing for
    `sink_tried`, where these are given.
    """

    wants: Callable[[str], bool] | None = None
    wait: Callable[[int], timedelta] = doubling
    event_tried: timedelta | None = None
    sink_tried: timedelta | None = None


class SinkWorker:
    """Serves one sink. `lease` is how long another process waits for one that died; it is renewed while idle."""

    def __init__(
        self,
        relational: RelationalStore,
        sink: Sink,
        source: str,
        lease: timedelta,
        poll: timedelta,
        policy: Policy | None = None,
    ) -> None:
        """With a `policy` for a sink that has its cursor already; without one for a broker."""
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
        # How many events are sent at once, after what has become of the last ones.
        self._most = sink.window

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
        """One batch. Returns how many events it is over with: none while others serve the sink, or it waits."""
        cursor = self._cursor = self._cursor or self._claim()
        if cursor is None:
            return 0
        if self._repeats:
            return self._repeat(cursor, self._repeats.pop(0))
        ahead, self._next = self._next, None
        # It is of no use where the cursor was moved by others.
        most = min(self._most, self._sink.batch)
        batch = ahead if ahead and ahead.after == cursor.position else self._reading.batch(cursor.position, most)
        return self._settle(cursor, batch, self._sent(batch))

    def _more(self, batch: Batch, until: float) -> Sequence[Message]:
        """What follows while that is on its way, to be sent too; where that is enough, it is sent next.

        Whatever goes wrong does so again when it is read then.
        """
        # What comes after a failure is tried alone.
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

    def _sent(self, batch: Batch) -> Sent:
        sent, begun = Sent(0), time.monotonic()
        if batch.messages:
            with relay_spans.sending(series_of(self._sink.name), self._sink.destination, batch.messages):
                sent = self._sink.send(batch.messages, partial(self._more, batch, begun + LONG))
                if sent.failure:
                    spans.failed(sent.failure)
        self._most = min(2 * self._most, self._sink.window)
        if time.monotonic() - begun > LONG:
            self._most = max(len(batch.ids) // 2, min(FEW, self._most))
        return sent

    def _settle(self, cursor: Cursor, batch: Batch, sent: Sent) -> int:
        """Write down what became of a batch."""
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

    def _repeat(self, cursor: Cursor, dead: Logged) -> int:
        """Send a dead letter once more. One that fails is a dead letter as before."""
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
        """Write down what was sent, and let others serve the sink at once."""
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
        if isinstance(failure, Gone) or self._is_over(cursor.failing_since, policy.sink_tried):
            self._give_back(cursor, failure, disabled=True)
        elif self._is_over(cursor.tried_since, policy.event_tried):
            return self._set_aside(cursor, stop, failure)
        else:
            self._give_back(cursor, failure, disabled=False)
        return 0

    def _counted(self, count: int, outcome: str) -> None:
        meter.counted("sent", count, series_of(self._sink.name), outcome)

    def _is_over(self, since: datetime | None, longest: timedelta | None) -> bool:
        return since is not None and longest is not None and self._relational.now() - since >= longest

    def _give_back(self, cursor: Cursor, failure: Exception, *, disabled: bool) -> None:
        """Whoever tries next may be another process, to whom the sink answers."""
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
    """Text that every database can keep."""
    return str(failure)[:LONGEST_REASON].replace("\0", "\ufffd")


def worker_of(container: Container, sink: Sink, policy: Policy | None = None) -> SinkWorker:
    settings = container.settings
    poll, lease = timedelta(seconds=settings.relay_poll_seconds), timedelta(seconds=settings.sinks_lease_seconds)
    return SinkWorker(container.stores.relational, sink, settings.sinks_source, lease, poll, policy)
