"""How often somebody may ask, and how often a password may be guessed. Open where the limits' store is away."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import TooMany, Unauthenticated
from repositories.errors import Unavailable
from repositories.hot import Limits, Rate, Verdict

# A store that did not answer is not asked for so long: each call might cost its deadline.
AWAY_SECONDS = 1.0


class Throttle:
    """`asking` is for all requests of one account, or of one address without one; `guessing` for failed sign-ins by
    one name from one address. None means no limit.
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
        """Count one more request; None where nothing limits it."""
        return self._take(f"ask:{who}", self.asking) if self.asking else None

    @contextmanager
    def guess(self, login: str, address: str) -> Iterator[None]:
        """Around a sign-in. Raises `TooMany` before it after too many that failed.

        Those under way at the same time are not known of yet, so as many more may be tried as there are threads.
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
