"""Commands that lost against concurrent ones are run again, with full jitter, for a bounded number of times and time.

Full jitter: the pause is drawn evenly between nothing and a bound that doubles, so that the losers of one round do
not meet again in the next.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from repositories.errors import Contention

T = TypeVar("T")


class Retry:
    """Call it with a command that is atomic: one that raised `Contention` has left nothing behind."""

    def __init__(
        self,
        *,
        attempts: int = 8,
        seconds: float = 2.0,
        base: float = 0.01,
        longest: float = 0.25,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attempts = attempts
        self._seconds = seconds
        self._base = base
        self._longest = longest
        self._sleep = sleep
        self._draw = draw
        self._elapsed = elapsed

    def __call__(self, command: Callable[[], T]) -> T:
        """Raises the last `Contention` when the bounds are reached, and at once whatever else the command raises."""
        end = self._elapsed() + self._seconds
        for failed in range(1, self._attempts):
            try:
                return command()
            except Contention:
                pause = self._draw() * min(self._longest, self._base * 2**failed)
                if self._elapsed() + pause >= end:
                    raise
            self._sleep(pause)
        return command()
