"""Live streams of this process: one thread reads the store for all connections, each connection takes its own events.

At most one batch is buffered per connection. Until it is taken, the connection's further events stay in the store. A
connection that falls behind further than the store keeps events gets one resync.
"""

import re
import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from random import uniform
from uuid import UUID

import structlog
from msgspec import Struct

from app.clock import Clock
from app.errors import Overloaded
from repositories.errors import Unavailable
from repositories.hot import LiveEvent, SessionStore, Streams
from repositories.hot.streams_port import Position
from repositories.records.people import Session

LONGEST_BACK_OFF = 2.0
# How long to wait for more events after the store has notified of new ones.
GATHER_SECONDS = 0.01
_ID = re.compile(r"([0-9a-f]{1,32})\.(0|[1-9][0-9]{0,14})")
log = structlog.get_logger("quartet.live")


class LiveLimits(Struct, frozen=True):
    """At most `streams` open streams in the process, `each` for one account, and `batch` buffered events per stream.

    A stream beyond either limit replaces the account's oldest one, since its client has probably gone: a lost client is
    noticed only at the next heartbeat.

    `life`, plus or minus a tenth, is how long a connection lasts. Sessions are checked every `check`. The store is read
    every `poll` or, if it notifies of new events, on each notification and every `quiet`.
    """

    streams: int
    each: int = 8
    batch: int = 100
    poll: timedelta = timedelta(seconds=0.2)
    quiet: timedelta = timedelta(seconds=1)
    heartbeat: timedelta = timedelta(seconds=10)
    check: timedelta = timedelta(seconds=1)
    prolong: timedelta = timedelta(minutes=1)
    life: timedelta = timedelta(hours=1)


class StreamItem(Struct, frozen=True):
    """`event` is None for a resync: some events were lost. `id` is the position to resume from."""

    id: str
    event: LiveEvent | None


class Connection:
    """One open stream. The hub gives events, the thread of the request takes them."""

    def __init__(self, session: Session, digest: bytes, at: Position, *, resync: bool, until: float) -> None:
        self.account_id = session.account_id
        self.digest = digest
        self.at = at
        self.start = _id(at)
        self._until = until
        self._batch: tuple[StreamItem, ...] = (StreamItem(self.start, None),) if resync else ()
        self._ended = False
        self._changed = threading.Condition()

    def take(self, wait: timedelta) -> tuple[StreamItem, ...] | None:
        """The next events, or none after `wait`. Returns None once the stream has ended."""
        with self._changed:
            left = min(wait.total_seconds(), self._until - time.monotonic())
            self._changed.wait_for(lambda: self._batch or self._ended, max(left, 0))
            if self._ended or (time.monotonic() >= self._until and not self._batch):
                return None
            batch, self._batch = self._batch, ()
            return batch

    def wants(self) -> bool:
        return not self._batch and not self._ended

    def give(self, batch: tuple[StreamItem, ...], at: Position) -> None:
        with self._changed:
            self.at, self._batch = at, batch
            self._changed.notify()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()


class Hub:
    """Thread-safe. Its threads start with the first connection; `close` ends every connection."""

    def __init__(self, streams: Streams, sessions: SessionStore, clock: Clock, limits: LiveLimits) -> None:
        self.limits = limits
        self._streams = streams
        self._sessions = sessions
        self._clock = clock
        self._guard = threading.Lock()
        # A set in the order of opening.
        self._open: dict[Connection, None] = {}
        self._prolonged: dict[UUID, float] = {}
        self._threads: list[threading.Thread] = []
        self._any_open = threading.Event()
        self._closed = threading.Event()
        # Set when new events may have arrived.
        self._appended = threading.Event()

    @property
    def count(self) -> int:
        return len(self._open)

    def open(self, session: Session, digest: bytes, last_id: str | None) -> Connection:
        """Open a stream that continues after `last_id`, or begins now: with a resync if `last_id` is not a position.

        If a limit is reached, ends the account's oldest stream, preferably one of this session. Raises `Overloaded` if
        there is none or the server is stopping, `Unavailable` if the store is unavailable. The caller must `release`.
        """
        end = self._streams.listen(session.account_id)
        after = end if last_id is None else _position(last_id)
        until = time.monotonic() + self.limits.life.total_seconds() * uniform(0.9, 1.1)  # noqa: S311  no secret
        made = Connection(session, digest, after or end, resync=after is None, until=until)
        with self._guard:
            self._admit(session.account_id, digest)
            self._open[made] = None
            self._prolonged[made.account_id] = time.monotonic()
            self._start()
        self._any_open.set()
        return made

    def release(self, connection: Connection) -> None:
        """Idempotent."""
        connection.end()
        with self._guard:
            self._open.pop(connection, None)
            if all(other.account_id != connection.account_id for other in self._open):
                self._prolonged.pop(connection.account_id, None)
            if not self._open and not self._closed.is_set():
                self._any_open.clear()

    def close(self) -> None:
        with self._guard:
            self._closed.set()
            ending, threads = list(self._open), self._threads
        self._any_open.set()
        self._appended.set()
        for connection in ending:
            connection.end()
        for thread in threads:
            thread.join(timeout=1)

    def _admit(self, account_id: UUID, digest: bytes) -> None:
        if self._closed.is_set():
            raise Overloaded("the server is stopping", code="stopping")
        own = [other for other in self._open if other.account_id == account_id]
        if len(own) < self.limits.each and len(self._open) < self.limits.streams:
            return
        if not own:
            raise Overloaded("every live stream of this server is taken", code="streams_taken")
        oldest = min(own, key=lambda other: other.digest != digest)
        oldest.end()
        del self._open[oldest]

    def _start(self) -> None:
        if not self._threads:
            tells = self._streams.watch(self._note_appended)
            rounds = (
                (self._poll, self._appended, self.limits.quiet if tells else self.limits.poll),
                (self._check, self._closed, self.limits.check),
            )
            self._threads = [
                threading.Thread(target=self._loop, args=each, name="live", daemon=True) for each in rounds
            ]
            for thread in self._threads:
                thread.start()

    def _note_appended(self, account_ids: Collection[UUID]) -> None:
        if not account_ids or any(one in self._prolonged for one in account_ids):
            self._appended.set()

    def _loop(self, act: Callable[[Sequence[Connection]], None], due: threading.Event, pause: timedelta) -> None:
        """Call `act` with the open streams when `due` is set and after each `pause`; less often after failures."""
        back_off = shortest = pause.total_seconds()
        while not self._closed.is_set():
            if (due if back_off == shortest else self._closed).wait(back_off):
                self._closed.wait(GATHER_SECONDS)
            self._any_open.wait()
            with self._guard:
                now_open = list(self._open)
            try:
                act(now_open)
                back_off = shortest
            except Exception as error:  # noqa: BLE001 - without this thread every stream would be silent
                back_off = min(back_off * 2, max(LONGEST_BACK_OFF, shortest))
                log.warning("live streams wait", error=str(error), known=isinstance(error, Unavailable))

    def _poll(self, now_open: Sequence[Connection]) -> None:
        self._appended.clear()
        wanting = [connection for connection in now_open if connection.wants()]
        deltas = self._streams.since([(c.account_id, c.at) for c in wanting], limit=self.limits.batch)
        for connection, delta in zip(wanting, deltas, strict=True):
            if delta.lost:
                at = delta.position if delta.position.epoch else self._streams.listen(connection.account_id)
                connection.give((StreamItem(_id(at), None),), at)
            elif delta.events:
                connection.give(_items(connection.at, delta.events), delta.position)
        self._prolong()

    def _prolong(self) -> None:
        now = time.monotonic()
        with self._guard:
            due = [one for one, at in self._prolonged.items() if now - at > self.limits.prolong.total_seconds()]
        for account_id in due:
            self._streams.listen(account_id)
            with self._guard:
                if account_id in self._prolonged:
                    self._prolonged[account_id] = now

    def _check(self, now_open: Sequence[Connection]) -> None:
        """End the streams of sessions that have ended. While the session store is unavailable, none can be ended there,
        so this check may fail.
        """
        for digest in {connection.digest for connection in now_open}:
            if self._sessions.find(digest, now=self._clock()) is None:
                for connection in now_open:
                    if connection.digest == digest:
                        connection.end()


def _items(before: Position, events: Sequence[LiveEvent]) -> tuple[StreamItem, ...]:
    return tuple(StreamItem(f"{before.epoch}.{before.number + n}", event) for n, event in enumerate(events, 1))


def _id(at: Position) -> str:
    return f"{at.epoch}.{at.number}"


def _position(text: str) -> Position | None:
    found = _ID.fullmatch(text)
    return Position(found[1], int(found[2])) if found else None
