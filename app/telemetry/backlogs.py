"""The relay's backlog as metrics, read when they are scraped, and kept for a while.

The series of a store that does not answer are missing until it does.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.clock import Clock
from app.telemetry.background import Background
from repositories.errors import StoreError
from repositories.outbox import Backlog, Outbox


class Backlogs(Collector):
    def __init__(self, outboxes: Mapping[str, Outbox], clock: Clock) -> None:
        self._asking = Background({truth: partial(_read, outbox) for truth, outbox in outboxes.items()})
        self._clock = clock

    def describe(self) -> list[GaugeMetricFamily]:
        return list(_families())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up, unsent, dead_lettered, oldest, deferred = _families()
        for truth, backlog in self._asking.answers().items():
            up.add_metric([truth], backlog is not None)
            if backlog is not None:
                unsent.add_metric([truth], backlog.unsent)
                dead_lettered.add_metric([truth], backlog.dead_lettered)
                oldest.add_metric([truth], self._age(backlog))
                deferred.add_metric([truth], backlog.deferred)
        yield from (up, unsent, dead_lettered, oldest, deferred)

    def _age(self, backlog: Backlog) -> float:
        return 0.0 if backlog.oldest is None else max(0.0, (self._clock() - backlog.oldest).total_seconds())


def _read(outbox: Outbox) -> Backlog | None:
    try:
        return outbox.backlog()
    except StoreError:
        return None


def _families() -> tuple[GaugeMetricFamily, ...]:
    return tuple(
        GaugeMetricFamily(f"quartet_outbox_{name}", about, labels=["truth"])
        for name, about in (
            ("readable", "1 when the truth said how much waits"),
            ("unsent", "events that wait for the relay"),
            ("dead_lettered", "events that were dead-lettered after too many tries"),
            ("oldest_seconds", "age of the oldest event that waits"),
            ("deferred", "keys to drop and live events that wait for the cache to be back"),
        )
    )
