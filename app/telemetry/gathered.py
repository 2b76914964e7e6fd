"""What happens several times in each request, added up in memory and put into the series now and then.

Each series is a place in a file that the server's processes share, and writing there costs more than some of the calls
that are measured. A scrape sees what its own process has gathered, and of the others what they had a moment ago.
"""

import os
import threading
import time
from bisect import bisect_left
from collections import Counter as Counted
from collections import defaultdict, deque

from prometheus_client import Counter, Histogram

# What is gathered is put away when it is so much or, if any more comes, so old.
MOST, SECONDS = 2048, 0.25


class Gathered:
    """Thread-safe. Nothing is gathered twice by processes that were forked."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(before=self.put_away, after_in_child=self._begin)

    def note(self, series: Counter | Histogram, value: float) -> None:
        """Observe it, or count so many."""
        self._waiting.append((series, value))
        if len(self._waiting) >= MOST or time.monotonic() - self._at > SECONDS:
            self.put_away()

    def put_away(self) -> None:
        """Put all that was gathered before the call into the series."""
        with self._guard:
            self._at = time.monotonic()
            values: defaultdict[Counter | Histogram, list[float]] = defaultdict(list)
            for _ in range(len(self._waiting)):
                series, value = self._waiting.popleft()
                values[series].append(value)
            for series, some in values.items():
                if isinstance(series, Histogram):
                    _observed(series, some)
                else:
                    series.inc(sum(some))

    def _begin(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[tuple[Counter | Histogram, float]] = deque()
        self._at = time.monotonic()


def _observed(series: Histogram, values: list[float]) -> None:
    """As its own `observe` of each, whose loop over the bounds is most of what it costs beside the writing."""
    bounds = series._upper_bounds  # noqa: SLF001  it has no method for several
    series._sum.inc(sum(values))  # noqa: SLF001
    for at, times in Counted(bisect_left(bounds, value) for value in values).items():
        series._buckets[at].inc(times)  # noqa: SLF001
