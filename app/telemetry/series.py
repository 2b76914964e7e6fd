"""The metrics under `/metrics`. They are updated by the meter, by the HTTP edge and by periodic samples of the pools.

Import this late: on import, prometheus-client decides by PROMETHEUS_MULTIPROC_DIR whether the processes of a server
share their metrics through files. Names and labels are a public interface; `docs/monitoring.md` lists them.
"""

import functools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from app.telemetry import spans
from app.telemetry.exemplars import Exemplars
from repositories import meter, pool_registry

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
CALL = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
LAG = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
SAMPLE_SECONDS = 2.0

disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotation
own = CollectorRegistry()
exemplars = Exemplars()


def _counter(name: str, about: str, *labels: str) -> Counter:
    return Counter(f"quartet_{name}", about, labels, registry=own)


def _gauge(name: str, about: str, *labels: str) -> Gauge:
    """A gauge that is summed over the live processes."""
    return Gauge(f"quartet_{name}", about, labels, registry=own, multiprocess_mode="livesum")


def _histogram(name: str, about: str, *labels: str, buckets: tuple[float, ...] = CALL) -> Histogram:
    return Histogram(f"quartet_{name}", about, labels, registry=own, buckets=buckets)


REQUESTS = _counter("http_requests", "answers, by route, method and status", "route", "method", "status")
REQUEST_SECONDS = _histogram("http_request_seconds", "time to answer, by route and method", "route", "method")
CALL_SECONDS = _histogram(
    "store_call_seconds", "time of a call to a store, including the wait for a connection", "store", "operation"
)
FURTHER = _counter("store_further_trips", "commands that calls to a store sent after their first", "store")
ERRORS = _counter("store_errors", "calls to a store that failed", "store", "operation")
CACHE = _counter("cache_events", "cache events by kind, counted in keys", "kind")
POOL_WAIT = _histogram("pool_wait_seconds", "waits of calls that found no free connection", "store")
POOL_SIZE = _gauge("pool_connections", "connections that the pools may open, all processes together", "store", "lane")
POOL_IN_USE = _gauge("pool_in_use", "connections in use, sampled", "store", "lane")
DURATIONS = {
    "fanout_lag": _histogram(
        "fanout_lag_seconds", "from a post's publication to its entry in a follower's timeline", buckets=LAG
    )
}
COUNTS = {
    "deliveries": _counter("deliveries", "entries pushed into timelines"),
    "events": _counter("events", "events tried by the relay", "type", "outcome"),
    "sent": _counter("sink_events", "events for a sink, by outcome", "sink", "outcome"),
    "replica_reads": _counter(
        "replica_reads",
        "reads that may go to a replica, by outcome: `replica`, or why the primary answered",
        "store",
        "outcome",
    ),
    "lost_tail": _counter("lost_tail", "acknowledged writes and sign-ins that a failover has lost, as far as detected"),
    "contended": _counter("store_contended", "calls to a store that lost to concurrent ones", "store", "operation"),
    "refused": _counter("requests_refused", "requests that got no thread, by reason", "reason"),
    "alarms": _counter(
        "alarms",
        "inconsistencies that are impossible unless money tables were altered, by where they were seen",
        "seen",
    ),
}
LEVELS = {
    "fanouts": _gauge("fanouts_running", "fan-outs in progress"),
    "streams": _gauge("streams_open", "open live streams"),
}
# Set periodically by `keep_sampling`, as the gauges of the pools are.
SAMPLED = {
    "in_flight": _gauge("requests_in_flight", "requests that are running or wait for a thread, sampled"),
    "limit": _gauge("requests_limit", "how many requests may run or wait for a thread, sampled"),
    "bodies": _gauge("bodies_awaited", "requests whose body is still arriving, sampled"),
    "most_streams": _gauge("streams_limit", "limit of open live streams, all processes together"),
}


class Recorder(meter.Observer):
    """Updates the metrics. The look-up by labels costs as much as an update, so its results are cached."""

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
        _trace(CALL_SECONDS, {"store": store, "operation": operation}, CALL, seconds)
        # Only further trips are counted: most calls are one command, and a second counter would double this cost.
        if trips > 1:
            FURTHER.labels(store).inc(trips - 1)
        if not ok:
            ERRORS.labels(store, operation).inc()

    def waited(self, store: str, seconds: float) -> None:
        POOL_WAIT.labels(store).observe(seconds)

    def cache_event(self, kind: meter.CacheKind, n: int) -> None:
        if n:
            self._cache[kind].inc(n)

    def observed(self, name: str, seconds: float, n: int) -> None:
        for _ in range(n):
            DURATIONS[name].observe(seconds)
        _trace(DURATIONS[name], {}, LAG, seconds)

    def counted(self, name: str, n: int, labels: tuple[str, ...]) -> None:
        series = COUNTS[name]
        (series.labels(*labels) if labels else series).inc(n)

    def running(self, name: str, change: int) -> None:
        LEVELS[name].inc(change)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer of the API. `route` is the URL rule and not the path, to bound the number of series."""
        series = self._answers.get((route, method, status))
        if series is None:
            series = REQUESTS.labels(route, method, status), REQUEST_SECONDS.labels(route, method)
            self._answers[route, method, status] = series
        series[0].inc()
        series[1].observe(seconds)
        _trace(REQUEST_SECONDS, {"route": route, "method": method}, CALL, seconds)


def _trace(series: Histogram, labels: Mapping[str, str], bounds: Sequence[float], seconds: float) -> None:
    """Note the current trace as an exemplar, if it is recorded."""
    trace_id = spans.trace_id()
    if trace_id is not None:
        exemplars.note(next(iter(series.describe())).name, labels, bounds, seconds, trace_id)


def directory() -> Path | None:
    """The directory in which the processes of this server share their metrics; None if there is only one process."""
    found = os.environ.get(DIRECTORY)
    return Path(found) if found else None


@functools.cache
def install() -> Recorder:
    """Start to update the metrics in this process."""
    recorder = Recorder()
    meter.watch(recorder)
    return recorder


def keep_sampling(levels: Callable[[], Mapping[str, float]] = dict) -> None:
    """Every `SAMPLE_SECONDS`, set the gauges of the pools and of `SAMPLED` (from `levels`) and write the exemplars.

    Needed for scrapes that another process answers.
    """
    threading.Thread(target=_sample, args=(levels,), name="metrics", daemon=True).start()


def _sample(levels: Callable[[], Mapping[str, float]]) -> None:
    pause = threading.Event()
    shared = directory()
    while not pause.wait(SAMPLE_SECONDS):
        sample_pools()
        if shared:
            exemplars.write(shared)
        for name, value in levels().items():
            SAMPLED[name].set(value)


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
