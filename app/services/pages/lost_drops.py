"""Failed drops of kept states (`kept_states.py`), while other processes may still reach the cache and read them.

Each failure raises the counter `lost` in the relational store, so no state kept before agrees with the next flight. A
flight that is still trusted has to be waited out, but only once: none is kept in the seconds after a count, so later
writers within these seconds need not wait.
"""

import threading
import time
from collections.abc import Callable

from app.services.feeds.kept_states import SECONDS, STEADY_SECONDS
from repositories.relational import RelationalStore

# A tenth more than flight is trusted: clocks drift apart by much less.
WAIT_SECONDS = SECONDS * 1.1
COVERED_SECONDS = STEADY_SECONDS - 2 * WAIT_SECONDS


class LostDrops:
    """`seconds` is a monotonic clock, `pause` sleeps; both are in seconds."""

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
        self._last_count = -STEADY_SECONDS
        self._wait_until = 0.0

    def settle(self) -> None:
        """Once this returns, no page is answered by a state that the failed drop was to end. Raises `Unavailable`."""
        began = self._seconds()
        with self._relational.transaction() as tx:
            tx.fanouts.lose()
        with self._guard:
            if began - self._last_count >= COVERED_SECONDS:
                self._wait_until = self._seconds() + WAIT_SECONDS
            self._last_count = max(self._last_count, began)
            wait = self._wait_until - self._seconds()
        if wait > 0:
            self._pause(wait)
