"""An observer that counts reads by the server that answered."""

from collections.abc import Iterator

import pytest

from app.telemetry import series
from repositories import meter


class CountingObserver(meter.Observer):
    """Counts what the meter counts by its last label, such as `replica`, or by its name if it has no labels."""

    def __init__(self) -> None:
        self.reads: dict[str, int] = {}

    def called(self, store: str, operation: str, trips: int, seconds: float, *, ok: bool) -> None: ...
    def waited(self, store: str, seconds: float) -> None: ...
    def cache_event(self, kind: meter.CacheKind, n: int) -> None: ...
    def observed(self, name: str, seconds: float, n: int) -> None: ...
    def running(self, name: str, change: int) -> None: ...
    def counted(self, name: str, n: int, labels: tuple[str, ...]) -> None:
        key = labels[-1] if labels else name
        self.reads[key] = self.reads.get(key, 0) + n


@pytest.fixture
def counted() -> Iterator[CountingObserver]:
    """Replaces the observer of the process during a test."""
    # The first application of a process sets its observer, which would replace this one.
    series.install()
    counted, before = CountingObserver(), meter._observer
    meter.watch(counted)
    yield counted
    meter.watch(before)
