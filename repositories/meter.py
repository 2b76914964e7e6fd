"""Counts the calls to the stores where they are sent: round trips, seconds, outcomes.

Every adapter reports each call with `asked` or `called`. A `tally` collects the calls of one request. An exporter of
metrics registers an `Observer`, one of traces a `Listener`; without them only the tally is kept. This module imports
no exporter and no web framework.
"""

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from time import perf_counter
from typing import Final, Literal, Protocol, Self, TypeVar, get_args

from repositories.errors import Contention, StoreError, Unavailable
from repositories.slow_statements import Statement, took
from repositories.translation import Outdated

T = TypeVar("T")
CacheKind = Literal["hit", "miss", "stale", "load", "refresh", "negative", "refused", "drop", "error"]
CACHE_KINDS: Final = get_args(CacheKind)
Duration = Literal["fanout_lag"]
Count = Literal["deliveries", "events", "sent", "alarms", "replica_reads", "lost_tail", "refused", "contended"]
Level = Literal["fanouts", "streams"]


class Observer(Protocol):
    """Called for each report, in the thread that did the work. Must be fast and must not raise."""

    def called(self, store: str, operation: str, trips: int, seconds: float, *, ok: bool) -> None: ...

    def waited(self, store: str, seconds: float) -> None: ...

    def cache_event(self, kind: CacheKind, n: int) -> None: ...

    def observed(self, name: str, seconds: float, n: int) -> None: ...

    def counted(self, name: str, n: int, labels: tuple[str, ...]) -> None: ...

    def running(self, name: str, change: int) -> None: ...


class Listener(Protocol):
    """As `Observer.called`."""

    def __call__(self, store: str, operation: str, trips: int, seconds: float, *, ok: bool) -> None: ...


class Tally:
    """The calls of one request: store -> [round trips, seconds]."""

    __slots__ = ("stores",)

    def __init__(self) -> None:
        self.stores: dict[str, list[float]] = {}

    def trips(self) -> dict[str, int]:
        return {store: int(kept[0]) for store, kept in self.stores.items()}


_tally: ContextVar[Tally | None] = ContextVar("quartet-tally", default=None)
_observer: Observer | None = None
_listener: Listener | None = None


def watch(observer: Observer | None) -> None:
    """Set the observer of this process; None removes it."""
    global _observer  # noqa: PLW0603  one process, one exporter; the adapters are made before it
    _observer = observer


def trace(listener: Listener | None) -> None:
    """Set the listener that is called at the end of each call; None removes it."""
    global _listener  # noqa: PLW0603  as `watch`
    _listener = listener


def begin() -> Tally:
    """Start a new tally for this thread's request."""
    tally = Tally()
    _tally.set(tally)
    return tally


@contextlib.contextmanager
def tally() -> Iterator[Tally]:
    """Count this thread's calls inside the block."""
    mine = Tally()
    token = _tally.set(mine)
    try:
        yield mine
    finally:
        _tally.reset(token)


def called(store: str, operation: str, seconds: float, *, trips: int = 1, ok: bool = True) -> None:
    """Report a call: its round trips (or concurrent requests) and its seconds."""
    tally = _tally.get()
    if tally is not None:
        kept = tally.stores.get(store)
        if kept is None:
            tally.stores[store] = [trips, seconds]
        else:
            kept[0] += trips
            kept[1] += seconds
    if _observer is not None:
        _observer.called(store, operation, trips, seconds, ok=ok)
    if _listener is not None:
        _listener(store, operation, trips, seconds, ok=ok)


class asked:  # noqa: N801  used as a verb; a class costs half of what a generator does
    """Surrounds one call: `with asked("feeds", "home_descending"):`. `trips` may be increased inside.

    A refusal (`Conflict`, `Stale`, ...) counts as a success. `Unavailable`, and any error that is not a `StoreError`,
    counts as a failure. `Contention` has a counter of its own as well. A slow `statement` is logged.
    """

    __slots__ = ("_began", "operation", "statement", "store", "trips")

    def __init__(self, store: str, operation: str, trips: int = 1, statement: Statement | None = None) -> None:
        self.store = store
        self.operation = operation
        self.trips = trips
        self.statement = statement

    def __enter__(self) -> Self:
        self._began = perf_counter()
        return self

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, counting one round trip for each."""
        self.trips = 0
        for item in items:
            self.trips += 1
            yield item

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        ok = kind is None or (issubclass(kind, StoreError) and not issubclass(kind, Unavailable))
        seconds = perf_counter() - self._began
        called(self.store, self.operation, seconds, trips=self.trips, ok=ok)
        if kind is not None and issubclass(kind, Contention) and not issubclass(kind, Outdated):
            counted("contended", 1, self.store, self.operation)
        if self.statement is not None:
            took(self.store, self.operation, seconds, self.statement)


def waited(store: str, seconds: float) -> None:
    """Report how long a call waited for a connection. Calls without a wait are not reported."""
    if _observer is not None:
        _observer.waited(store, seconds)


def cache_event(kind: CacheKind, n: int = 1) -> None:
    """Report an event of the cache for a number of keys. `docs/monitoring.md` lists the kinds."""
    if _observer is not None:
        _observer.cache_event(kind, n)


def observed(name: Duration, seconds: float, n: int = 1) -> None:
    """Report a duration: `fanout_lag`, from publication to delivery, for `n` deliveries at once."""
    if _observer is not None:
        _observer.observed(name, seconds, n)


def counted(name: Count, n: int = 1, *labels: str) -> None:
    """Report that something happened `n` times.

    The labels: `events` has type and outcome; `alarms` where it was raised; `replica_reads` the store, and `replica` or
    the reason why none was read; `refused` the reason; `contended` store and operation; the others have none.
    """
    if _observer is not None:
        _observer.counted(name, n, labels)


@contextlib.contextmanager
def running(name: Level) -> Iterator[None]:
    """Counts what is running inside the block: `fanouts`, `streams`."""
    if _observer is not None:
        _observer.running(name, 1)
    try:
        yield
    finally:
        if _observer is not None:
            _observer.running(name, -1)
