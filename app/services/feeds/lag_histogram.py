"""A histogram of delivery lags: buckets 2 % wide, so that a percentile is within 2 % of the truth.

The idea is HdrHistogram's: relative precision, few numbers, mergeable by addition.
"""

import math
from datetime import timedelta

WIDTH = math.log(1.02)
Counts = tuple[tuple[int, int], ...]


def added(counts: Counts, lag: timedelta, deliveries: int) -> Counts:
    """With this many deliveries more that took `lag`; below a millisecond counts as one."""
    bucket = math.ceil(math.log(max(1.0, lag.total_seconds() * 1000)) / WIDTH)
    known = dict(counts)
    known[bucket] = known.get(bucket, 0) + deliveries
    return tuple(sorted(known.items()))


def percentile(counts: Counts, share: float) -> float | None:
    """Milliseconds within which this share of the deliveries was made; None without any."""
    wanted = math.ceil(sum(n for _, n in counts) * share)
    for bucket, n in counts:
        wanted -= n
        if wanted <= 0:
            return math.exp(bucket * WIDTH)
    return None
