"""Runs the steps of a load: batches in parallel, retried after failures, skipped when they exist."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import Any, TypeVar

from msgspec import Struct

from repositories.errors import Contention, Unavailable

T = TypeVar("T")
# Pauses between tries, long enough for a store to restart.
PAUSES = (0.1, 0.3, 1.0, 3.0)

Batch = range


class Step(Struct, frozen=True):
    """A step loads things of one kind, numbered from 0. Its functions are idempotent, in any order, on any thread.

    `put` brings into the store what `make` has made of a batch.
    `times`: how many times the rows of others a batch has. More where each costs something beside its rows; fewer where
    the store takes no more at once, so that no thread has much left to do when others have nothing.
    """

    kind: str
    role: str
    numbers: int
    rows: Callable[[int], int]
    there: Callable[[Batch], bool]
    make: Callable[[Batch], Any]
    put: Callable[[Any], None]
    parallel: bool = True
    times: float = 1

    def rows_of(self, batch: Batch) -> int:
        return sum(self.rows(k) for k in batch)

    def batches(self, size: float) -> Iterator[Batch]:
        """Ranges of numbers with about `size` rows each. Numbers without rows are included."""
        start = rows = 0
        for k in range(self.numbers):
            rows += self.rows(k)
            if rows >= size:
                yield range(start, k + 1)
                start, rows = k + 1, 0
        if rows:
            yield range(start, self.numbers)


class Outcome(Struct, frozen=True):
    kind: str
    role: str
    rows: int
    written: int
    seconds: float


class Progress:
    """Receives the progress of a run. This base class ignores it."""

    def start(self, step: Step, rows: int) -> None: ...

    def advance(self, step: Step, rows: int) -> None: ...

    def finish(self, outcome: Outcome) -> None: ...

    def close(self) -> None: ...


class Run:
    """Checks whether a batch exists, until as many were missing as run at a time; the rest is taken as new.

    One thread makes rows at a time, while the others' are on their way: if all made them at once, which takes as long,
    the store would have nothing to do meanwhile.
    """

    def __init__(self, step: Step, *, batch: int, threads: int, progress: Progress) -> None:
        self._step = step
        self._batch = batch
        self._threads = threads
        self._progress = progress
        self._missing = 0
        self._making = threading.Lock()

    def __call__(self) -> Outcome:
        """After an interruption it waits for the running batches and starts no others."""
        step, started, written = self._step, time.monotonic(), 0
        total = step.rows_of(range(step.numbers))
        self._progress.start(step, total)
        with closing(side_by_side(self._bring, step.batches(self._batch * step.times), self._threads)) as results:
            for rows, new in results:
                written += rows if new else 0
                self._progress.advance(step, rows)
        outcome = Outcome(step.kind, step.role, total, written, time.monotonic() - started)
        self._progress.finish(outcome)
        return outcome

    def _bring(self, batch: Batch) -> tuple[int, bool]:
        rows = self._step.rows_of(batch)
        if self._missing <= 2 * self._threads and patiently(lambda: self._is_there(batch)):
            return rows, False
        self._missing += 1
        with self._making:
            made = self._step.make(batch)
        patiently(lambda: self._step.put(made))
        return rows, True

    def _is_there(self, batch: Batch) -> bool:
        """Its last number is asked for alone, for batches that are new cost no more then."""
        return self._step.there(batch[-1:]) and self._step.there(batch)


def side_by_side(function: Callable[[Batch], T], batches: Iterable[Batch], threads: int) -> Generator[T, None, None]:
    """Yields results as they complete. At most twice `threads` batches are submitted."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: set[Future[T]] = set()
        try:
            for batch in batches:
                waiting.add(pool.submit(function, batch))
                if len(waiting) >= 2 * threads:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            yield from (future.result() for future in waiting)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def patiently(action: Callable[[], T]) -> T:
    """Retries `Unavailable` and `Contention`, which is safe because every function is idempotent."""
    for pause in PAUSES:
        try:
            return action()
        except (Unavailable, Contention):
            time.sleep(pause)
    return action()
