"""Sends the log of events to a sink: a batch at a time, in order, from where its cursor stands.

Each sink has a thread, a cursor and a lease of its own, so one that is slow, away or full holds up nobody else. What
it refuses for good is set aside, and the next goes on. How long a sink that is away is tried again is its `Policy`.
Where a sink takes batches ahead, the next one is read while the former is on its way; the cursor waits for answers.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from app.container import Container
from app.published import enveloped
from app.worker import relay_spans
from repositories import meter
from repositories.errors import StoreError
from repositories.records import Event
from repositories.relational import RelationalStore
from repositories.relational.event_log_port import Cursor, Logged
from repositories.relational.webhooks_port import series_of
from repositories.sinks import AskedToWait, Gone, Message, Refused, Sent, Sink

log = logging.getLogger(__name__)
BATCH = 500
LONGEST_REASON = 300
_encode = msgspec.json.Encoder().encode
# After a broker was found away: at first, and at most.
SOONEST, LATEST = timedelta(seconds=0.5), timedelta(seconds=15)


def doubling(attempts: int) -> timedelta:
    """How long to wait after so many failed tries."""
    return min(LATEST, SOONEST * float(2 ** min(attempts - 1, 8)))


class Policy(Struct, frozen=True):
    """How a sink is served. A broker gets everything (`wants` is None), and is tried again for ever.

    An event is set aside when it was tried for `event_tried`, and the sink disabled when it took nothing for
    `sink_tried`, where these are given.
    """

    wants: Callable[[Event], bool] | None = None
    wait: Callable[[int], timedelta] = doubling
    event_tried: timedelta | None = None
    sink_tried: timedelta | None = None


class _Begun(Struct, frozen=True):
    """A batch that was handed to the sink: what was read, what of it is wanted, and why `answer` cannot be for all."""

    logged: Sequence[Logged] = ()
    wanted: Sequence[Logged] = ()
    messages: int = 0
    bad: Refused | None = None
    answer: Callable[[], Sent] = lambda: Sent(0)


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
        self._source = source
        self._lease = lease
        self._poll = poll
        self._cursor: Cursor | None = None
        self._idle = timedelta(0)
        self._known = policy is not None
        self._policy = policy or Policy()
        self._repeats: list[Logged] = []
        self._begun: deque[_Begun] = deque()

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
        self._give_up()
        return 0

    def step(self) -> int:
        """One batch. Returns how many events it is over with: none while others serve the sink, or it waits."""
        cursor = self._cursor = self._cursor or self._claim()
        if cursor is None:
            return 0
        if self._repeats:
            return self._repeat(cursor, self._repeats.pop(0))
        self._begin(cursor)
        return self._settle(cursor, self._begun.popleft() if self._begun else _Begun())

    def _begin(self, cursor: Cursor) -> None:
        """As many batches as the sink takes ahead, while there are whole ones in the log."""
        # Of a sink that fails one is tried, so that no others come again with it.
        most, ahead = (1, 1) if cursor.attempts else (BATCH, self._sink.ahead)
        position, last = cursor.position, None
        if self._begun:
            last = self._begun[-1]
            position = last.logged[-1].position
        while len(self._begun) < ahead and (last is None or (len(last.logged) == most and not last.bad)):
            logged = self._relational.event_log.after(position, limit=most)
            if not logged:
                return
            wants = self._policy.wants
            wanted = [one for one in logged if wants(one.event)] if wants else logged
            messages, bad = self._messages(wanted)
            last = _Begun(logged, wanted, len(messages), bad)
            if messages:
                last = msgspec.structs.replace(last, answer=self._sink.begin(messages))
            self._begun.append(last)
            position = logged[-1].position

    def _settle(self, cursor: Cursor, batch: _Begun) -> int:
        """Wait for what became of a batch, and write it down."""
        logged, wanted, sent = batch.logged, batch.wanted, self._answer(batch)
        failure = batch.bad if sent.failure is None and sent.count == batch.messages else sent.failure
        over = _up_to(logged, wanted[sent.count :])
        if len(over) < len(logged):
            self._begun.clear()
        moved: Cursor | None = cursor
        if over or self._idle >= self._lease / 3:
            moved = self._advance(cursor, over[-1].position if over else cursor.position, delivered=sent.count > 0)
        self._counted(sent.count, "sent")
        if moved is None or failure is None:
            return len(over)
        if isinstance(failure, Refused):
            return len(over) + self._set_aside(moved, wanted[sent.count], failure)
        return self._failed(moved, wanted[sent.count], failure)

    def _answer(self, batch: _Begun) -> Sent:
        if not batch.messages:
            return batch.answer()
        with relay_spans.sending(series_of(self._sink.name), batch.wanted[: batch.messages]):
            return batch.answer()

    def _repeat(self, cursor: Cursor, dead: Logged) -> int:
        """Send a dead letter once more. One that fails is a dead letter as before."""
        messages, failure = self._messages([dead])
        sent = self._sink.send(messages) if messages else Sent(0)
        with self._relational.transaction() as tx:
            if sent.count:
                tx.event_log.settle(cursor.sink, [dead.position])
            else:
                tx.event_log.dead_letter(cursor, dead.position, _reason(sent.failure or failure))
        return 1

    def _claim(self) -> Cursor | None:
        if not self._known:
            self._relational.event_log.register(self._sink.name)
            self._known = True
        self._idle = timedelta(0)
        cursor = self._relational.event_log.claim(self._sink.name, lease=self._lease)
        if cursor and not cursor.attempts:
            dead = self._relational.event_log.dead_letters(self._sink.name, after=0, limit=BATCH)
            self._repeats = [one.logged for one in dead if one.again]
        return cursor

    def _advance(self, cursor: Cursor, position: int, *, delivered: bool) -> Cursor | None:
        self._idle = timedelta(0)
        log = self._relational.event_log
        self._cursor = log.advance(cursor, position, lease=self._lease, delivered=delivered)
        if self._cursor is None:
            self._give_up()
        return self._cursor

    def _give_up(self) -> None:
        """What was begun and will not be written down, whatever becomes of it."""
        if self._begun:
            self._begun.clear()
            self._sink.close()

    def close(self) -> None:
        """Write down what was sent, and let others serve the sink at once."""
        with contextlib.suppress(StoreError):
            while self._begun and self._cursor:
                self._settle(self._cursor, self._begun.popleft())
            if self._cursor:
                self._relational.event_log.release(self._cursor, wait=timedelta(0))
        self._cursor = None
        self._begun.clear()
        self._sink.close()

    def _messages(self, logged: Sequence[Logged]) -> tuple[list[Message], Refused | None]:
        """Up to the first that no version of this code wrote."""
        messages: list[Message] = []
        for one in logged:
            event = one.event
            try:
                made = enveloped(event, one.position, self._source)
            except msgspec.DecodeError as error:
                return messages, Refused(f"{event.type} cannot be read: {error}")
            # Ids as text in a fifth of the time that `str` takes.
            id_ = msgspec.to_builtins(event.id)
            messages.append(Message(id_, event.aggregate, made.type, _encode(made), event.traceparent))
        return messages, None

    def _set_aside(self, cursor: Cursor, refused: Logged, failure: Exception) -> int:
        log.error("the sink %s refuses %s: %s", cursor.sink, refused.event.id, failure)
        self._counted(1, "dead_lettered")
        with self._relational.transaction() as tx:
            held = tx.event_log.dead_letter(cursor, refused.position, _reason(failure))
        self._cursor = self._advance(cursor, refused.position, delivered=False) if held else None
        return int(held)

    def _failed(self, cursor: Cursor, tried: Logged, failure: Exception) -> int:
        policy = self._policy
        if isinstance(failure, Gone) or self._is_over(cursor.failing_since, policy.sink_tried):
            self._give_back(cursor, failure, disabled=True)
        elif self._is_over(cursor.tried_since, policy.event_tried):
            return self._set_aside(cursor, tried, failure)
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


def _up_to(logged: Sequence[Logged], left: Sequence[Logged]) -> Sequence[Logged]:
    """Those before the first that is left to send."""
    return [one for one in logged if one.position < left[0].position] if left else logged


def _reason(failure: Exception | None) -> str:
    """Text that every database can keep."""
    return str(failure)[:LONGEST_REASON].replace("\0", "\ufffd")


def worker_of(container: Container, sink: Sink, policy: Policy | None = None) -> SinkWorker:
    settings = container.settings
    poll, lease = timedelta(seconds=settings.relay_poll_seconds), timedelta(seconds=settings.sinks_lease_seconds)
    return SinkWorker(container.stores.relational, sink, settings.sinks_source, lease, poll, policy)
