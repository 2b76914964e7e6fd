"""The console's history of a server's metrics: rates, latencies, and how its processes share them."""

import tempfile
from math import inf
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.telemetry.history import EVERY, KEPT, History, quantile


class Series:
    """The metrics of a server whose clock the test sets."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("quartet_http_requests", "", ["route", "method", "status"], registry=self.registry)
        self.calls = Histogram(
            "quartet_store_call_seconds", "", ["store", "operation"], registry=self.registry, buckets=(0.1, 0.2, 0.4)
        )
        self.streams = Gauge("quartet_streams_open", "", registry=self.registry)
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time

    def history(self, folder: Path | None = None) -> History:
        return History(self.registry.collect, folder, self.now)


@pytest.fixture
def series() -> Series:
    return Series()


def test_a_rate_needs_two_readings(series: Series) -> None:
    history = series.history()
    series.requests.labels("/", "GET", "200").inc(100)
    first = history.look()
    assert (first.seconds, first.rates("requests"), first.trend("requests")) == (0.0, {}, [])
    assert first.now("requests") == {("/", "GET", "200"): 100}
    series.time += 10
    series.requests.labels("/", "GET", "200").inc(30)
    series.requests.labels("/", "GET", "500").inc(5)
    second = history.look()
    assert second.rates("requests") == {("/", "GET", "200"): 3.0, ("/", "GET", "500"): 0.5}
    assert second.trend("requests") == [3.5]
    assert second.trend("requests", lambda labels: labels[2] == "500") == [0.5]


def test_a_second_look_at_once_reads_nothing(series: Series) -> None:
    history = series.history()
    history.look()
    series.streams.set(7)
    series.time += EVERY - 0.1
    assert history.look().level("streams") == 0
    series.time += 0.1
    assert history.look().level("streams") == 7
    assert history.look().levels("streams") == [0, 7]


def test_the_oldest_readings_are_forgotten(series: Series) -> None:
    history = series.history()
    for _ in range(KEPT + 5):
        found = history.look()
        series.time += EVERY
    assert found.seconds == (KEPT - 1) * EVERY


def test_a_clock_set_back_leaves_no_rate_over_the_past(series: Series) -> None:
    history = series.history()
    history.look()
    series.time -= 3600
    assert history.look().seconds == 0
    series.time += EVERY
    assert history.look().seconds == EVERY


def test_new_series_count_from_zero_and_falling_ones_have_rate_zero(series: Series) -> None:
    history = series.history()
    series.requests.labels("/old", "GET", "200").inc(9)
    history.look()
    series.requests.clear()
    series.requests.labels("/old", "GET", "200").inc(2)
    series.requests.labels("/new", "GET", "200").inc(4)
    series.time += 4
    assert history.look().rates("requests") == {("/old", "GET", "200"): 0.0, ("/new", "GET", "200"): 1.0}


def test_labels_that_are_not_requested_are_summed(series: Series) -> None:
    history = series.history()
    history.look()
    for operation in ("read", "write"):
        for seconds in (0.05, 0.15, 0.3, 0.9):
            series.calls.labels("cache", operation).observe(seconds)
    series.calls.labels("feeds", "read").observe(0.05)
    series.time += 4
    buckets = history.look().buckets("call_seconds", of_labels=("cache",))
    assert buckets == {0.1: 2, 0.2: 4, 0.4: 6, inf: 8}
    assert quantile(0.25, buckets) == pytest.approx(0.1)
    assert quantile(0.5, buckets) == pytest.approx(0.2)
    assert quantile(0.99, buckets) == 0.4


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({}, 0.5, None),
        ({0.1: 0.0, inf: 0.0}, 0.5, None),
        ({0.1: 4.0, 0.2: 4.0, inf: 4.0}, 0.5, 0.05),
        ({0.1: 0.0, 0.2: 4.0, inf: 4.0}, 0.5, 0.15),
        ({0.1: 0.0, 0.2: 4.0, inf: 4.0}, 1.0, 0.2),
        ({inf: 4.0}, 0.5, 0.0),
    ],
)
def test_quantiles_are_those_of_prometheus(buckets: dict[float, float], share: float, expected: float | None) -> None:
    assert quantile(share, buckets) == (expected if expected is None else pytest.approx(expected))


def test_processes_share_their_readings(series: Series) -> None:
    with tempfile.TemporaryDirectory() as directory:
        one, other = (series.history(Path(directory)) for _ in range(2))
        one.look()
        series.time += EVERY
        assert other.look().seconds == EVERY
        series.time += EVERY
        assert one.look().seconds == 2 * EVERY
        assert len(list(Path(directory).iterdir())) == 1
