"""Forecasts the day on which a level reaches its limit: a straight line through past samples by least squares.

Levels have a daily cycle, so once the samples span seven days, only the highest sample of each day is used. The
interval is a 90 % prediction interval: it contains nine of ten further samples if growth continues unchanged and
deviations are independent and normal. Student's quantile is approximated after Fisher and Cornish (1960), with an error
below one in a thousand from six degrees of freedom.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from statistics import NormalDist, fmean, linear_regression

from msgspec import Struct

from repositories.relational.levels_port import LevelSample

# The normal quantile for one side of a 90 % interval.
_Z = NormalDist().inv_cdf(0.95)
_DAY = timedelta(days=1)
FEWEST, DAYS = 8, 7
# The line is extrapolated to at most `TIMES` its own length, and at most `LONGEST` days, in steps of `STEP` days.
LONGEST, TIMES, STEP = 730.0, 3.0, 0.25


class Forecast(Struct, frozen=True):
    """When the level is expected to reach `limit`, in days after the last sample.

    `days` is where the line meets the limit, `earliest` and `latest` are where the ends of the interval do. `latest` is
    None if that is too far away. `error` is the standard error of the line, in the unit of the level, `points` the
    number of samples it was fitted to.
    """

    level: str
    at: datetime
    value: float
    limit: float
    growth_a_day: float
    error: float
    points: int
    span_days: float
    days: float
    earliest: float
    latest: float | None

    def date(self, days: float) -> str:
        return (self.at + days * _DAY).date().isoformat()


def forecast(samples: Sequence[LevelSample], limit: float | None = None) -> Forecast | None:
    """Forecast one level from its samples, ordered by time.

    None if it does not grow, if there are too few samples, or if the limit is too far away. `limit` replaces the limit
    that the engine knows, if any.
    """
    most = limit or samples[-1].most if samples else None
    points = _points(samples)
    if most is None or len(points) < FEWEST:
        return None
    line = _FittedLine([x for x, _ in points], [y for _, y in points])
    span = points[-1][0] - points[0][0]
    if line.slope - line.slope_error <= 0:
        return None
    ahead = min(TIMES * span, LONGEST)
    days = max(0.0, (most - line.at(points[-1][0])) / line.slope)
    if days > ahead:
        return None
    steps = [number * STEP for number in range(int(LONGEST / STEP) + 1)]
    last = points[-1][0]
    earliest = next((x for x in steps if line.at(last + x) + line.margin(last + x) >= most), days)
    latest = next((x for x in steps if line.at(last + x) - line.margin(last + x) >= most), None)
    now = samples[-1]
    return Forecast(
        now.level, now.at, now.value, most, line.slope, line.error, len(points), span, days, min(earliest, days), latest
    )


class _FittedLine:
    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self.slope, self._start = linear_regression(xs, ys)
        free = len(xs) - 2
        self.error = math.sqrt(sum((y - self.at(x)) ** 2 for x, y in zip(xs, ys, strict=True)) / free)
        self._mean, self._count = fmean(xs), len(xs)
        self._spread = sum((x - self._mean) ** 2 for x in xs)
        self._quantile = _student(free)
        self.slope_error = self._quantile * self.error / math.sqrt(self._spread)

    def at(self, x: float) -> float:
        return self._start + self.slope * x

    def margin(self, x: float) -> float:
        """Half the width of the prediction interval at `x`."""
        further = 1 + 1 / self._count + (x - self._mean) ** 2 / self._spread
        return self._quantile * self.error * math.sqrt(further)


def _points(samples: Sequence[LevelSample]) -> list[tuple[float, float]]:
    """The points to fit: days since the first sample, and values."""
    if not samples:
        return []
    first = samples[0].at
    if samples[-1].at - first >= DAYS * _DAY:
        days = (list(some) for _, some in groupby(samples, key=lambda sample: sample.at.date()))
        samples = [max(some, key=lambda sample: sample.value) for some in days]
    return [((sample.at - first) / _DAY, sample.value) for sample in samples]


def _student(free: int) -> float:
    """The 95 % quantile of Student's distribution with `free` degrees of freedom."""
    z = _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / free + second / free**2 + third / free**3
