"""The outbox relay: claims unsent events of both truths, tells them to their handlers, marks them told.

At least once, in order per aggregate. A store that is away postpones an event without counting against it; any
other failure counts, and after enough of them the event is parked with its reason and holds up nobody.
"""

import functools
import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

from msgspec import Struct

from app.clock import Clock
from app.container import Container
from app.handlers import handle
from repositories.errors import Contention, StoreError, Unavailable
from repositories.outbox import Claim, Outbox
from repositories.records import Event

log = logging.getLogger(__name__)
LONGEST_WAIT = timedelta(seconds=30)
AWAY_WAIT = timedelta(seconds=1)


class RelayLimits(Struct, frozen=True):
    poll: timedelta
    lease: timedelta
    attempts: int
    batch: int = 100


class Relay:
    """`handle` raises to refuse an event. One relay serves several outboxes; several relays may run at once."""

    def __init__(
        self, outboxes: Sequence[Outbox], handle: Callable[[Event], None], clock: Clock, limits: RelayLimits
    ) -> None:
        self._outboxes = outboxes
        self._handle = handle
        self._clock = clock
        self._limits = limits

    def run(self, stop: threading.Event) -> None:
        """Until told to stop. A round that found work is followed by the next at once."""
        while not stop.is_set():
            if self.round() == 0:
                stop.wait(self._limits.poll.total_seconds())

    def drain(self, rounds: int = 10_000) -> int:
        """Tell everything that is due now. Returns how many events were told."""
        return sum(itertools.takewhile(bool, (self.round() for _ in range(rounds))))

    def round(self) -> int:
        """One claim from each outbox. Returns how many events were told; an outbox that is away counts as empty."""
        return sum(self._round_of(outbox) for outbox in self._outboxes)

    def _round_of(self, outbox: Outbox) -> int:
        now = self._clock()
        try:
            claims = outbox.claim(now=now, lease_until=now + self._limits.lease, limit=self._limits.batch)
            by_aggregate: dict[str, list[Claim]] = {}
            for claim in claims:
                by_aggregate.setdefault(claim.event.aggregate, []).append(claim)
            return sum(self._tell(outbox, run) for run in by_aggregate.values())
        except StoreError as error:
            log.warning("outbox not served: %s", error)
            return 0

    def _tell(self, outbox: Outbox, run: Sequence[Claim]) -> int:
        """The events of one aggregate, in order, up to the first that has to wait."""
        told: list[Claim] = []
        for n, claim in enumerate(run):
            if not self._told(outbox, claim):
                outbox.release(run[n + 1 :])
                break
            told.append(claim)
        outbox.done(told)
        return len(told)

    def _told(self, outbox: Outbox, claim: Claim) -> bool:
        try:
            self._handle(claim.event)
        except (Unavailable, Contention) as error:
            log.info("event %s waits: %s", claim.event.id, error)
            outbox.postpone(claim, due=self._clock() + AWAY_WAIT, attempts=claim.attempts)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the event's failed try
            self._failed(outbox, claim, error)
            return False
        return True

    def _failed(self, outbox: Outbox, claim: Claim, error: Exception) -> None:
        attempts = claim.attempts + 1
        reason = f"{type(error).__name__}: {error}"
        if attempts >= self._limits.attempts:
            log.error("event %s (%s) parked: %s", claim.event.id, claim.event.type, reason)
            outbox.park(claim, reason=reason, attempts=attempts, now=self._clock())
            return
        log.warning("event %s (%s) failed, try %d: %s", claim.event.id, claim.event.type, attempts, reason)
        wait = min(LONGEST_WAIT, timedelta(seconds=0.1 * 2**attempts))
        outbox.postpone(claim, due=self._clock() + wait, attempts=attempts)


def relay_of(container: Container) -> Relay:
    """The relay over both truths of a system."""
    settings = container.settings
    limits = RelayLimits(
        poll=timedelta(seconds=settings.relay_poll_seconds),
        lease=timedelta(seconds=settings.relay_lease_seconds),
        attempts=settings.relay_attempts,
    )
    outboxes = (container.stores.relational.outbox, container.stores.documents.outbox)
    return Relay(outboxes, functools.partial(handle, container), container.clock, limits)


def start_inline(container: Container) -> Callable[[], None]:
    """Run the relay in a thread of this process. Returns what stops it and waits for the round under way."""
    stop = threading.Event()
    thread = threading.Thread(target=relay_of(container).run, args=(stop,), name="relay", daemon=True)
    thread.start()

    def stop_and_wait() -> None:
        stop.set()
        thread.join(timeout=5)

    return stop_and_wait
