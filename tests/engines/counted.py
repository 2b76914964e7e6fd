"""An observer that counts where reads went."""

from collections.abc import Iterator

import pytest

from repositories import meter


class Counted(meter.Observer):
    """Counts reads by where they went, such as `replica`."""

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
def counted() -> Iterator[Counted]:
    """Replaces the observer of the process during a test."""
    counted, before = Counted(), meter._observer
    meter.watch(counted)
    yield counted
    meter.watch(before)
