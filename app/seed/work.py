"""Runs the steps of a load: batches run in parallel, are retried after failures, and are skipped if they exist."""

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
    """Loads things of one kind, numbered from 0. Its functions are idempotent and may run in any order, on any thread.

    `rows` is the number of rows of one thing, `there` whether a batch exists, `make` makes the rows of a batch, and
    `put` writes them. `times` scales the batch size: above 1 if a batch has a cost besides that of its rows; below 1 if
    the store limits the size of a write, so that at the end no thread has much left to do while the others are idle.
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
    """Runs one step. Skips batches that exist, and takes the rest for new once more than `2 * threads` were missing.

    Only one thread makes rows at a time, while the rows of the others are being written. If all made rows at once,
    which takes as long, the store would be idle meanwhile.
    """

    def __init__(self, step: Step, *, batch: int, threads: int, progress: Progress) -> None:
        self._step = step
        self._batch = batch
        self._threads = threads
        self._progress = progress
        self._missing = 0
        self._making = threading.Lock()

    def __call__(self) -> Outcome:
        """Run the step. When interrupted, wait for the running batches and start no others."""
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
        """Check the last number first, which makes the check cheap for new batches, and then the others."""
        others = batch[:-1]
        return self._step.there(batch[-1:]) and (not others or self._step.there(others))


def side_by_side(function: Callable[[Batch], T], batches: Iterable[Batch], threads: int) -> Generator[T, None, None]:
    """Run `function` on the batches and yield results as they complete. At most `2 * threads` are pending."""
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
    """Run `action`, and retry `Unavailable` and `Contention`, which is safe because every action is idempotent."""
    for pause in PAUSES:
        try:
            return action()
        except (Unavailable, Contention):
            time.sleep(pause)
    return action()
