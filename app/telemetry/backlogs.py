"""The relay's backlog as metrics, read when they are scraped, and cached for a while.

A store that does not answer in time delays some scrapes for a moment. Its series are missing until it answers.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.clock import Clock
from repositories.errors import StoreError
from repositories.outbox import Backlog, Outbox

FRESH_SECONDS = 5.0
PATIENCE_SECONDS = 0.25


class Backlogs(Collector):
    def __init__(self, outboxes: Mapping[str, Outbox], clock: Clock) -> None:
        self._outboxes = dict(outboxes)
        self._clock = clock
        self._guard = Lock()
        self._readers: ThreadPoolExecutor | None = None
        self._asked: dict[str, tuple[float, Future[Backlog | None]]] = {}

    def describe(self) -> list[GaugeMetricFamily]:
        return list(_families())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up, unsent, dead_lettered, oldest, deferred = _families()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for truth, found in [(truth, self._future(truth)) for truth in self._outboxes]:
            backlog = _result(found, deadline)
            up.add_metric([truth], backlog is not None)
            if backlog is not None:
                unsent.add_metric([truth], backlog.unsent)
                dead_lettered.add_metric([truth], backlog.dead_lettered)
                oldest.add_metric([truth], self._age(backlog))
                deferred.add_metric([truth], backlog.deferred)
        yield from (up, unsent, dead_lettered, oldest, deferred)

    def _future(self, truth: str) -> Future[Backlog | None]:
        """The running read of this outbox, or a new one. At most one runs per outbox."""
        with self._guard:
            now = time.monotonic()
            asked = self._asked.get(truth)
            if asked is None or (asked[1].done() and now - asked[0] > FRESH_SECONDS):
                self._readers = self._readers or ThreadPoolExecutor(len(self._outboxes), "backlogs")
                asked = self._asked[truth] = now, self._readers.submit(self._read, truth)
            return asked[1]

    def _read(self, truth: str) -> Backlog | None:
        try:
            return self._outboxes[truth].backlog()
        except StoreError:
            return None

    def _age(self, backlog: Backlog) -> float:
        return 0.0 if backlog.oldest is None else max(0.0, (self._clock() - backlog.oldest).total_seconds())


def _result(found: Future[Backlog | None], deadline: float) -> Backlog | None:
    try:
        return found.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
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
