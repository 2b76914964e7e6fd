"""A value that the first caller makes and the others wait for."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class LazyValue(Generic[T]):
    """A value made by the first `get`, in a thread. Callers have their own deadlines; a failure is not remembered."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._future: Future[T] | None = None

    def get(self, seconds: float) -> T:
        with self._lock:
            future = self._future
            if future is None or (future.done() and future.exception() is not None):
                future = self._future = Future()
                threading.Thread(target=self._run, args=(future,), name="feeds", daemon=True).start()
        try:
            return future.result(seconds)
        except TimeoutError:
            raise TimeoutError("no connection yet") from None

    def _run(self, future: Future[T]) -> None:
        try:
            future.set_result(self._make())
        except BaseException as error:  # noqa: BLE001 - it is raised again in whoever waits
            future.set_exception(error)
