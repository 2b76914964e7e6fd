"""Retries of commands that failed by `Contention`, with full jitter, bounded in number and in time.

Full jitter: the pause is drawn uniformly from [0, bound), and the bound doubles with each failure. So commands that
failed together do not all retry at the same moment.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from repositories.errors import Contention

T = TypeVar("T")


class Retry:
    """The command must be atomic: when it raises `Contention`, nothing has been written."""

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
        """Raises the last `Contention` when a bound is reached. Any other error is raised at once."""
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
