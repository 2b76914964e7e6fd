"""The outbox relay: claims unsent events of both outboxes, dispatches them to their handlers, acknowledges them.

Events are dispatched at least once, in order per aggregate. An unavailable store, contention, or work that is done in
slices postpones the event without counting as a failed try. Any other error is a failed try. After `attempts` failed
tries the event is dead-lettered with its reason and no longer blocks its aggregate.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from app.clock import Clock
from app.services.feeds.fanouts import Unfinished
from app.telemetry import ledger_alarms
from app.worker.relay_spans import attempt, batch
from repositories import meter
from repositories.errors import Contention, Inconsistent, StoreError, Unavailable
from repositories.outbox import Claim, Outbox
from repositories.records.events import Event

log = logging.getLogger(__name__)
LONGEST_WAIT = timedelta(seconds=30)
AWAY_WAIT = timedelta(seconds=1)
LONGEST_REASON = 1000
# The number of events claimed at a time by all threads together.
BATCH = 100


class RelayLimits(Struct, frozen=True):
    poll: timedelta
    lease: timedelta
    attempts: int
    batch: int = BATCH
    threads: int = 1


class Served(Struct, frozen=True):
    """The numbers of events claimed and dispatched by one claim."""

    claimed: int
    dispatched: int


def _nothing() -> None: ...


class Relay:
    """Serves several outboxes. Several relays may run at once.

    `handle` raises when an event cannot be acknowledged yet. `between` runs before each round. `log_events` appends
    events to the event log for the sinks, in their order, before any of them is handled.

    `run` uses `limits.threads` threads, since a handler mostly waits for stores. Each thread claims events
    independently, like a separate relay.
    """

    def __init__(
        self,
        outboxes: Sequence[Outbox],
        handle: Callable[[Event], None],
        clock: Clock,
        limits: RelayLimits,
        between: Callable[[], None] = _nothing,
        log_events: Callable[[Sequence[Event]], None] = lambda _events: None,
    ) -> None:
        self._outboxes = outboxes
        self._handle = handle
        self._clock = clock
        self._limits = limits
        self._between = between
        self._log_events = log_events
        # One thread claims at a time; otherwise they would compete for the same events.
        self._claiming = {outbox: threading.Lock() for outbox in outboxes}

    def run(self, stop: threading.Event) -> None:
        """Serve the outboxes until `stop` is set. Waits between rounds only if nothing was dispatched."""
        poll = self._limits.poll.total_seconds()
        # The further threads poll less often, so while idle it is mostly the first one that polls.
        patience = poll * self._limits.threads
        others = [
            threading.Thread(target=self._work, args=(stop, patience, _nothing), name="relay")
            for _ in range(1, self._limits.threads)
        ]
        for thread in others:
            thread.start()
        self._work(stop, poll, self._between)
        for thread in others:
            thread.join()

    def _work(self, stop: threading.Event, poll: float, between: Callable[[], None]) -> None:
        while not stop.is_set():
            if self._guarded_round(stop, between) == 0:
                stop.wait(poll)

    def drain(self) -> int:
        """Try every event that is due now once, in this thread. Returns how many were dispatched."""
        began: dict[Outbox, datetime] = {}
        dispatched = 0
        while True:
            served = [self._serve(outbox, began) for outbox in self._outboxes]
            dispatched += sum(s.dispatched for s in served)
            if not any(s.claimed for s in served):
                return dispatched

    def round(self, stop: threading.Event | None = None) -> int:
        """Claim once from each outbox and dispatch. Returns how many events were dispatched.

        An unavailable outbox counts as empty.
        """
        return sum(self._serve(outbox, {}, stop).dispatched for outbox in self._outboxes)

    def _guarded_round(self, stop: threading.Event, between: Callable[[], None]) -> int:
        """Log every error and go on: if the relay ended unnoticed, feeds would become stale."""
        try:
            between()
            return self.round(stop)
        except Exception:
            log.exception("a round of the relay failed")
            return 0

    def _serve(self, outbox: Outbox, since: dict[Outbox, datetime], stop: threading.Event | None = None) -> Served:
        """Serve one claim of the events that are due at `since[outbox]`, which defaults to now and is set then.

        Starts no event in the second half of the lease: with a slow store it could run out, and another relay would
        repeat the work.
        """
        began = self._clock()
        claims = self._append_to_log(outbox, self._claim(outbox, since))
        if not claims:
            return Served(0, 0)
        runs = _by_aggregate(claims)
        dispatched = tried = 0
        with batch(claims):
            try:
                for run in runs:
                    tried += 1
                    dispatched += self._dispatch(outbox, run, since[outbox])
                    if (stop and stop.is_set()) or self._clock() - began > self._limits.lease / 2:
                        break
            except StoreError as error:
                log.warning("events stay leased, their outcome could not be written: %s", error)
            self._give_back(outbox, [claim for run in runs[tried:] for claim in run])
        return Served(len(claims), dispatched)

    def _now(self, outbox: Outbox) -> datetime:
        return outbox.now() or self._clock()

    def _claim(self, outbox: Outbox, since: dict[Outbox, datetime]) -> list[Claim]:
        try:
            with self._claiming[outbox]:
                now = self._now(outbox)
                due, until = since.setdefault(outbox, now), now + self._limits.lease
                return outbox.claim(now=due, lease_until=until, limit=self._limits.batch)
        except StoreError as error:
            log.warning("outbox not served: %s", error)
            return []

    def _append_to_log(self, outbox: Outbox, claims: list[Claim]) -> list[Claim]:
        """Append the events to the event log and return the claims; if that fails, release them and return none."""
        try:
            if claims:
                self._log_events([claim.event for claim in claims])
        except StoreError as error:
            log.warning("%d events wait, they could not be logged: %s", len(claims), error)
            self._give_back(outbox, claims)
            return []
        return claims

    def _give_back(self, outbox: Outbox, untouched: Sequence[Claim]) -> None:
        try:
            if untouched:
                outbox.release(untouched)
        except StoreError as error:
            log.warning("%d events stay leased: %s", len(untouched), error)

    def _dispatch(self, outbox: Outbox, run: Sequence[Claim], due: datetime) -> int:
        """Dispatch the events of one aggregate in order, up to the first one that fails or has to wait."""
        dispatched, refusal = 0, None
        for claim in run:
            refusal = self._handling_error(claim)
            if refusal is not None:
                break
            meter.counted("events", 1, claim.event.type, "dispatched")
            dispatched += 1
        if dispatched:
            outbox.acknowledge(run[:dispatched])
        if refusal is not None:
            self._postpone_or_dead_letter(outbox, run[dispatched], refusal, due)
            self._give_back(outbox, run[dispatched + 1 :])
        return dispatched

    def _handling_error(self, claim: Claim) -> Exception | None:
        try:
            with attempt(claim):
                self._handle(claim.event)
        except Exception as error:  # noqa: BLE001 - any error of a handler concerns this event only
            return error
        return None

    def _postpone_or_dead_letter(self, outbox: Outbox, claim: Claim, error: Exception, due: datetime) -> None:
        """Postpone or dead-letter the event. Unfinished work without a wait is due at `due`, behind older events."""
        event, attempts, reason = claim.event, claim.attempts + 1, _reason(error)
        if isinstance(error, Unfinished):
            again = self._now(outbox) + error.wait if error.wait else due
            outbox.postpone(claim, due=again, attempts=claim.attempts, reason=error.reason)
            return
        if isinstance(error, Inconsistent):
            ledger_alarms.raised("event", error)
        dead = attempts >= self._limits.attempts and not isinstance(error, Unavailable | Contention)
        meter.counted("events", 1, event.type, "dead_lettered" if dead else "postponed")
        if isinstance(error, Unavailable | Contention):
            log.info("event %s waits: %s", event.id, reason)
            outbox.postpone(claim, due=self._now(outbox) + AWAY_WAIT, attempts=claim.attempts)
        elif dead:
            log.error("event %s (%s) dead-lettered: %s", event.id, event.type, reason)
            outbox.dead_letter(claim, reason=reason, attempts=attempts, now=self._now(outbox))
        else:
            log.warning("event %s (%s) failed, try %d: %s", event.id, event.type, attempts, reason)
            wait = min(LONGEST_WAIT, timedelta(seconds=0.1 * 2**attempts))
            outbox.postpone(claim, due=self._now(outbox) + wait, attempts=attempts)


def _by_aggregate(claims: Sequence[Claim]) -> list[list[Claim]]:
    runs: dict[str, list[Claim]] = {}
    for claim in claims:
        runs.setdefault(claim.event.aggregate, []).append(claim)
    return list(runs.values())


def _reason(error: Exception) -> str:
    """The error as text that every outbox can store: bounded, without NUL, valid UTF-8."""
    text = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
