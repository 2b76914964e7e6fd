"""The last minutes of a server's metrics, for the console: rates, latencies and charts need more than one reading.

A reading is taken when the console is viewed and the last one is `EVERY` seconds old, so there is no cost otherwise.
The processes of a server share the readings through a file beside their shared metrics, since any may be asked.
"""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, Self

import msgspec

EVERY = 4.0
KEPT = 45
FILE = "history.msgpack"
# By series: its name here and the labels that are kept. Series that differ only in other labels are summed.
SERIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "quartet_http_requests_total": ("requests", ("route", "method", "status")),
    "quartet_http_request_seconds_bucket": ("request_seconds", ("route", "method", "le")),
    "quartet_store_call_seconds_bucket": ("call_seconds", ("store", "le")),
    "quartet_store_errors_total": ("call_errors", ("store",)),
    "quartet_fanout_lag_seconds_bucket": ("fanout_lag", ("le",)),
    "quartet_cache_events_total": ("cache", ("kind",)),
    "quartet_requests_refused_total": ("refused", ("reason",)),
    "quartet_deliveries_total": ("deliveries", ()),
    "quartet_events_total": ("events", ("type", "outcome")),
    "quartet_sink_events_total": ("sink_events", ("sink", "outcome")),
    "quartet_pool_connections": ("pool_size", ("store",)),
    "quartet_pool_in_use": ("pool_in_use", ("store",)),
    "quartet_requests_in_flight": ("in_flight", ()),
    "quartet_requests_limit": ("limit", ()),
    "quartet_streams_open": ("streams", ()),
    "quartet_streams_limit": ("most_streams", ()),
    "quartet_fanouts_running": ("fanouts", ()),
    # Of external relays (see `relays.py`).
    "up": ("relays", ("instance",)),
}
Labels = tuple[str, ...]
# By series, then by the values of its labels.
Values = dict[str, dict[Labels, float]]


# Returns prometheus-client's metric families. They are `Any`, because that library is imported late (see `series.py`).
Collect = Callable[[], Iterable[Any]]


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """The values of all `SERIES` at one time. `at` is in seconds since the Unix epoch."""

    at: float
    values: dict[str, list[tuple[Labels, float]]]

    @classmethod
    def of(cls, families: Iterable[Any], at: float) -> Self:
        found: Values = {name: defaultdict(float) for name, _ in SERIES.values()}
        for family in families:
            for sample in family.samples:
                if wanted := SERIES.get(sample.name):
                    name, labels = wanted
                    found[name][tuple(sample.labels[label] for label in labels)] += sample.value
        return cls(at, {name: list(values.items()) for name, values in found.items()})


class Recent:
    """At least one reading, oldest first, and what is computed from them."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._values = [{name: dict(found) for name, found in one.values.items()} for one in readings]
        self._times = [one.at for one in readings]

    @property
    def seconds(self) -> float:
        """Seconds between the first and the last reading; 0 if there is only one, so that rates are unknown."""
        return self._times[-1] - self._times[0]

    def now(self, name: str) -> dict[Labels, float]:
        return self._values[-1].get(name, {})

    def level(self, name: str) -> float | None:
        """The last value of a series without labels; None if it is missing."""
        return self.now(name).get(())

    def grown(self, name: str) -> dict[Labels, float]:
        """By how much each series in the last reading has grown since the first, by labels."""
        return _grown(self._values[0], self._values[-1], name)

    def rates(self, name: str) -> dict[Labels, float]:
        """The growth per second, by labels; empty if there is only one reading."""
        return {labels: value / self.seconds for labels, value in self.grown(name).items()} if self.seconds else {}

    def trend(self, name: str, wanted: Callable[[Labels], bool] = lambda _: True) -> list[float]:
        """The rate between each two successive readings, summed over the series whose labels are `wanted`."""
        steps = zip(self._values, self._values[1:], self._times, self._times[1:], strict=False)
        return [
            sum(value for labels, value in _grown(before, after, name).items() if wanted(labels)) / (end - start)
            for before, after, start, end in steps
        ]

    def levels(self, name: str) -> list[float]:
        """The value of a series without labels at each reading, 0 where it is missing."""
        return [values.get(name, {}).get((), 0.0) for values in self._values]

    def buckets(self, name: str, *, of_labels: Labels = ()) -> dict[float, float]:
        """The cumulative buckets of a histogram since the first reading: counts by upper bound.

        Summed over the series whose labels begin with `of_labels`.
        """
        found: dict[float, float] = defaultdict(float)
        for labels, value in self.grown(name).items():
            if labels[: len(of_labels)] == of_labels:
                found[float(labels[-1])] += value
        return found


class History:
    """Takes and stores readings. `folder` is where the processes of a server share metrics, None for one process."""

    def __init__(self, collect: Collect, folder: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._collect = collect
        self._file = folder / FILE if folder else None
        self._clock = clock
        self._readings: list[Reading] = []
        self._decoder = msgspec.msgpack.Decoder(list[Reading])

    def look(self) -> Recent:
        """The recent readings, after taking a new one if the last is too old.

        Of two processes that do this at once, one may overwrite the other's reading.
        """
        readings, now = self._load(), self._clock()
        if not readings or not 0 <= now - readings[-1].at < EVERY:
            kept = [one for one in readings if one.at < now]
            readings = [*kept, Reading.of(self._collect(), now)][-KEPT:]
            self._readings = readings
            self._save(readings)
        return Recent(readings)

    def _load(self) -> list[Reading]:
        if self._file and self._file.exists():
            return self._decoder.decode(self._file.read_bytes())
        return self._readings

    def _save(self, readings: Sequence[Reading]) -> None:
        """Write the file atomically: a reader sees the old file or the new one."""
        if self._file:
            new = self._file.with_suffix(f".{os.getpid()}")
            new.write_bytes(msgspec.msgpack.encode(readings))
            new.replace(self._file)


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """The quantile `share` (0 to 1) in seconds, estimated as Prometheus does: values are spread evenly in a bucket.

    None if the buckets are empty.
    """
    total = buckets.get(inf, 0.0)
    if total <= 0:
        return None
    wanted, low, below = share * total, 0.0, 0.0
    for bound in sorted(buckets):
        count = buckets[bound]
        if count >= wanted and count > below:
            return low if bound == inf else low + (bound - low) * (wanted - below) / (count - below)
        low, below = (low if bound == inf else bound), max(below, count)
    return low


def _grown(before: Values, after: Values, name: str) -> dict[Labels, float]:
    """The growth of each series of `after`, at least 0: a counter falls if a process's metric files are removed."""
    start = before.get(name, {})
    return {labels: max(0.0, value - start.get(labels, 0.0)) for labels, value in after.get(name, {}).items()}
