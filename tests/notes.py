"""An observer that records what the meter reports."""

from collections.abc import Iterator
from contextlib import contextmanager

from repositories import meter


class RecordingObserver(meter.Observer):
    def __init__(self) -> None:
        self.kept: list[tuple[object, ...]] = []

    def called(self, store: str, operation: str, trips: int, seconds: float, *, ok: bool) -> None:
        self.kept.append((store, operation, trips, ok))

    def waited(self, store: str, seconds: float) -> None:
        self.kept.append((store, seconds))

    def cache_event(self, kind: str, n: int) -> None:
        self.kept.append((kind, n))

    def observed(self, name: str, seconds: float, n: int) -> None:
        self.kept.append((name, seconds, n))

    def counted(self, name: str, n: int, labels: tuple[str, ...]) -> None:
        self.kept.append((name, n, *labels))

    def running(self, name: str, change: int) -> None:
        self.kept.append((name, change))


@contextmanager
def noting() -> Iterator[RecordingObserver]:
    before, made = meter._observer, RecordingObserver()
    meter.watch(made)
    try:
        yield made
    finally:
        meter.watch(before)
