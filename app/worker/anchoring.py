"""Anchors the ledger periodically, in its own thread of the relay.

Reading the entries since the last anchor may take longer than a sweep, so this is no job of the sweeper.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from app.clock import Clock
from app.container import Container
from app.services.money.anchors import Altered, Anchors, BadAnchor
from app.telemetry import ledger_alarms
from app.worker.threads import beside, every
from repositories.errors import StoreError

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
# The pause after an attempt that failed.
AGAIN = timedelta(minutes=1)


class Anchoring:
    def __init__(self, anchors: Anchors, clock: Clock) -> None:
        self._anchors = anchors
        self._clock = clock
        self._not_before: datetime | None = None

    def tick(self) -> bool:
        """Anchor the ledger if that is due, and return whether it was anchored. An altered ledger raises an alarm."""
        try:
            now = self._clock()
            if (self._not_before and now < self._not_before) or not self._anchors.is_due(now):
                return False
            self._not_before = now + AGAIN
            made = self._anchors.make()
        except (Altered, BadAnchor) as error:
            ledger_alarms.raised("anchor", error)
        except (StoreError, OSError) as error:
            log.warning("the ledger is not anchored: %s: %s", type(error).__name__, error)
        else:
            log.info("%d ledger accounts are anchored in %s", made.seal.accounts, made.path)
            return True
        return False


def anchoring_of(container: Container) -> Anchoring:
    return Anchoring(container.money.anchors, container.stores.relational.now)


@contextmanager
def anchored(container: Container, stop: threading.Event) -> Iterator[None]:
    """Anchor in a thread during the block, until `stop` is set. Does nothing if no anchor folder is configured."""
    if container.money.anchors.folder is None:
        yield
        return
    with beside("anchors", [every(POLL_SECONDS, anchoring_of(container).tick)], stop):
        yield
