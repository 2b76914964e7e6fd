"""The deliveries a second that one relay process may make: a token bucket shared by its threads."""

import threading
import time
from collections.abc import Callable

BURST_SECONDS = 2.0


class DeliveryBudget:
    """`rate` tokens a second; the bucket holds `BURST_SECONDS` worth of them. A rate of 0 means no limit.

    A chunk that is larger than the bucket passes when the bucket is full, and makes its level negative.
    """

    def __init__(self, rate: float, seconds: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._most = rate * BURST_SECONDS
        self._seconds = seconds
        self._left = self._most
        self._counted = seconds()
        self._guard = threading.Lock()

    def take(self, deliveries: int) -> bool:
        """Take `deliveries` tokens. Returns False, and takes none, if there are not enough."""
        if not self._rate:
            return True
        with self._guard:
            self._refill()
            if self._left < min(deliveries, self._most):
                return False
            self._left -= deliveries
            return True

    def idle(self) -> bool:
        """Whether the bucket is at least half full."""
        with self._guard:
            self._refill()
            return self._left >= self._most / 2

    def _refill(self) -> None:
        now = self._seconds()
        self._left = min(self._most, self._left + (now - self._counted) * self._rate)
        self._counted = now
