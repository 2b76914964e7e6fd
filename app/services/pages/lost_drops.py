"""Drops of what pages are checked against (`kept_states.py`) that did not reach the cache, while others may read it.

Each is counted in the relational store: nothing that was kept before counts with the next flight. What is trusted by
then is waited for, once: in the seconds after a count no flight is kept, so whoever comes within them need not wait.
"""

import threading
import time
from collections.abc import Callable

from app.services.feeds.kept_states import SECONDS, STEADY_SECONDS
from repositories.relational import RelationalStore

# Clocks run apart by much less than a tenth.
WAIT_SECONDS = SECONDS * 1.1
COVERED_SECONDS = STEADY_SECONDS - 2 * WAIT_SECONDS


class LostDrops:
    """`pause` waits; both it and `seconds` count seconds."""

    def __init__(
        self,
        relational: RelationalStore,
        seconds: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._relational = relational
        self._seconds = seconds
        self._pause = pause
        self._guard = threading.Lock()
        self._last = -STEADY_SECONDS
        self._from = 0.0

    def settle(self) -> None:
        """From its return on no page is answered by what such a drop should have ended. Raises `Unavailable`."""
        began = self._seconds()
        with self._relational.transaction() as tx:
            tx.fanouts.lose()
        with self._guard:
            if began - self._last >= COVERED_SECONDS:
                self._from = self._seconds() + WAIT_SECONDS
            self._last = max(self._last, began)
            wait = self._from - self._seconds()
        if wait > 0:
            self._pause(wait)
