"""The series under `/metrics`. The meter, the HTTP edge and samples of the pools fill them.

Import this late: prometheus-client decides on import, by PROMETHEUS_MULTIPROC_DIR, whether the processes of a server
share their metrics through files. Names and labels are an interface; `docs/monitoring.md` lists them.
"""

import functools
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from repositories import meter, pool_registry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
CALL = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
LAG = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
SAMPLE_SECONDS = 2.0
GAUGE_FILE = re.compile(r"gauge_live\w*_(\d+)\.db")

disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotation
own = CollectorRegistry()


def _counter(name: str, about: str, *labels: str) -> Counter:
    return Counter(f"quartet_{name}", about, labels, registry=own)


def _gauge(name: str, about: str, *labels: str) -> Gauge:
    """A gauge summed over the live processes."""
    return Gauge(f"quartet_{name}", about, labels, registry=own, multiprocess_mode="livesum")


def _histogram(name: str, about: str, *labels: str, buckets: tuple[float, ...] = CALL) -> Histogram:
    return Histogram(f"quartet_{name}", about, labels, registry=own, buckets=buckets)


REQUESTS = _counter("http_requests", "answers, by route, method and status", "route", "method", "status")
REQUEST_SECONDS = _histogram("http_request_seconds", "time to answer, by route and method", "route", "method")
CALL_SECONDS = _histogram("store_call_seconds", "time of a call to a store, waiting included", "store", "operation")
FURTHER = _counter("store_further_trips", "commands that calls to a store sent beyond their first", "store")
ERRORS = _counter("store_errors", "calls to a store that failed", "store", "operation")
CACHE = _counter("cache_events", "what the cache did, in keys, by kind", "kind")
POOL_WAIT = _histogram("pool_wait_seconds", "waits for a connection, of calls that found none free", "store")
POOL_SIZE = _gauge("pool_connections", "connections that the pools may open", "store", "lane")
POOL_IN_USE = _gauge("pool_in_use", "connections in use, sampled", "store", "lane")
DURATIONS = {
    "fanout_lag": _histogram(
        "fanout_lag_seconds", "from a post's publication to its place in a follower's timeline", buckets=LAG
    )
}
COUNTS = {
    "deliveries": _counter("deliveries", "entries pushed into timelines"),
    "events": _counter("events", "events tried by the relay", "type", "outcome"),
    "replica_reads": _counter(
        "replica_reads", "reads that may go to a replica, by where they went or why not", "store", "outcome"
    ),
    "lost_tail": _counter("lost_tail", "writes that a failover has lost, as their clients came back"),
    "refused": _counter("requests_refused", "requests that got no thread, by why", "reason"),
    "alarms": _counter("alarms", "what cannot be unless money tables were altered, by where it was seen", "seen"),
}
LEVELS = {
    "fanouts": _gauge("fanouts_running", "fan-outs that are being worked on"),
    "streams": _gauge("streams_open", "live streams that are open"),
}
# Sampled, as the pools are.
SAMPLED = {
    "in_flight": _gauge("requests_in_flight", "requests that are worked on or wait for a thread"),
    "limit": _gauge("requests_limit", "requests that may be worked on or wait for a thread, as it is now"),
}


class Recorder(meter.Observer):
    """Fills the series. The lookup by labels costs as much as an update, so its result is cached."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], Histogram] = {}
        self._answers: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._cache = {kind: CACHE.labels(kind) for kind in meter.CACHE_KINDS}

    def called(self, store: str, operation: str, trips: int, seconds: float, *, ok: bool) -> None:
        series = self._seconds.get((store, operation))
        if series is None:
            series = self._seconds[store, operation] = CALL_SECONDS.labels(store, operation)
            FURTHER.labels(store)
        series.observe(seconds)
        # Most calls are one command; counting those twice would cost as much again as the rest of this.
        if trips > 1:
            FURTHER.labels(store).inc(trips - 1)
        if not ok:
            ERRORS.labels(store, operation).inc()

    def waited(self, store: str, seconds: float) -> None:
        POOL_WAIT.labels(store).observe(seconds)

    def cache_event(self, kind: meter.CacheKind, n: int) -> None:
        self._cache[kind].inc(n)

    def observed(self, name: str, seconds: float, n: int) -> None:
        for _ in range(n):
            DURATIONS[name].observe(seconds)

    def counted(self, name: str, n: int, labels: tuple[str, ...]) -> None:
        series = COUNTS[name]
        (series.labels(*labels) if labels else series).inc(n)

    def running(self, name: str, change: int) -> None:
        LEVELS[name].inc(change)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer of the API. `route` is the rule and not the path, to bound the number of series."""
        series = self._answers.get((route, method, status))
        if series is None:
            series = REQUESTS.labels(route, method, status), REQUEST_SECONDS.labels(route, method)
            self._answers[route, method, status] = series
        series[0].inc()
        series[1].observe(seconds)


@functools.cache
def install() -> Recorder:
    """Start to fill the series in this process."""
    recorder = Recorder()
    meter.watch(recorder)
    return recorder


def keep_sampling(levels: Callable[[], Mapping[str, float]] = dict) -> None:
    """Sample the pools, and `levels` of `SAMPLED`, every few seconds, for scrapes that another process answers."""
    threading.Thread(target=_sample, args=(levels,), name="metrics", daemon=True).start()


def _sample(levels: Callable[[], Mapping[str, float]]) -> None:
    pause = threading.Event()
    while not pause.wait(SAMPLE_SECONDS):
        sample_pools()
        for name, value in levels().items():
            SAMPLED[name].set(value)


def serve(host: str, port: int) -> Callable[[], None]:
    """Serve the series of this process. Returns a function that stops it."""
    server, thread = start_http_server(port, host, own)

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def sample_pools() -> None:
    """Set the gauges of this process's pools."""
    sizes: dict[tuple[str, str], list[int]] = {}
    for pool in pool_registry.pools():
        sums = sizes.setdefault((pool.store, pool.lane), [0, 0])
        sums[0] += pool.size
        sums[1] += pool.in_use()
    for labels, (size, in_use) in sizes.items():
        POOL_SIZE.labels(*labels).set(size)
        POOL_IN_USE.labels(*labels).set(in_use)


def rendered(*more: Collector) -> bytes:
    """All series of all processes of this server as text, and those of `more`, collected now."""
    sample_pools()
    registry = CollectorRegistry()
    for collector in (_shared(), *more):
        registry.register(collector)
    return generate_latest(registry)


def _shared() -> Collector:
    directory = os.environ.get(DIRECTORY)
    if directory is None:
        return own
    _bury_the_dead(Path(directory))
    return MultiProcessCollector(None, directory)  # type: ignore[no-untyped-call]  # it has no annotation


def _bury_the_dead(directory: Path) -> None:
    """Remove the gauges of killed workers; their counters stay."""
    for file in directory.iterdir():
        found = GAUGE_FILE.fullmatch(file.name)
        if found and not _lives(int(found[1])):
            mark_process_dead(found[1], str(directory))  # type: ignore[no-untyped-call]  # it has no annotation


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
