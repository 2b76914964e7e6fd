"""A histogram of delivery lags with logarithmic buckets 2 % wide: percentiles are within 2 % of the exact value.

As in HdrHistogram: relative precision, few numbers, mergeable by addition. `Counts` are (bucket, count) pairs; a
bucket's upper bound is `exp(bucket * WIDTH)` milliseconds.
"""

import math
from datetime import timedelta

WIDTH = math.log(1.02)
Counts = tuple[tuple[int, int], ...]


def added(counts: Counts, lag: timedelta, deliveries: int) -> Counts:
    """`counts` plus `deliveries` that took `lag`. Lags below one millisecond count as one."""
    bucket = math.ceil(math.log(max(1.0, lag.total_seconds() * 1000)) / WIDTH)
    known = dict(counts)
    known[bucket] = known.get(bucket, 0) + deliveries
    return tuple(sorted(known.items()))


def percentile(counts: Counts, share: float) -> float | None:
    """The lag in milliseconds that `share` (0 to 1) of the deliveries did not exceed. None for an empty histogram."""
    wanted = math.ceil(sum(n for _, n in counts) * share)
    for bucket, n in counts:
        wanted -= n
        if wanted <= 0:
            return math.exp(bucket * WIDTH)
    return None
