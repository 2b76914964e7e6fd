"""Rate limits of requests and of failed sign-ins. Nothing is limited while the limits' store is unavailable."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import TooMany, Unauthenticated
from repositories.errors import Unavailable
from repositories.hot import Limits, Rate, Verdict

# After an `Unavailable` the store is not called for so long, because each call could take its whole deadline.
AWAY_SECONDS = 1.0


class Throttle:
    """`asking` limits the requests of one account, or of one address without a session. `guessing` limits failed
    sign-ins by one login from one address. None: no limit.
    """

    def __init__(
        self, limits: Limits, asking: Rate | None, guessing: Rate | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.asking = asking
        self._limits = limits
        self._guessing = guessing
        self._clock = clock
        self._guard = threading.Lock()
        self._away_until = 0.0

    def request(self, who: str) -> Verdict | None:
        """Count one request of this account or address. None where it is not limited."""
        return self._take(f"ask:{who}", self.asking) if self.asking else None

    @contextmanager
    def guess(self, login: str, address: str) -> Iterator[None]:
        """Surrounds a sign-in. Raises `TooMany` before it when too many have failed.

        Concurrent sign-ins are counted when they end, so up to one more per thread may be tried.
        """
        if self._guessing is None:
            yield
            return
        key = f"guess:{address}:{login.lower()}"
        found = self._take(key, self._guessing, spend=False)
        if found is not None and not found.allowed:
            raise TooMany("too many failed sign-ins by this name", found.retry)
        try:
            yield
        except Unauthenticated:
            self._take(key, self._guessing)
            raise

    def _take(self, key: str, rate: Rate, *, spend: bool = True) -> Verdict | None:
        if self._clock() < self._away_until:
            return None
        try:
            return self._limits.take(key, rate, spend=spend)
        except Unavailable:
            with self._guard:
                self._away_until = self._clock() + AWAY_SECONDS
            return None
