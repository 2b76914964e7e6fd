"""Threads of a relay beside its own work."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Work = Callable[[threading.Event], None]


@contextmanager
def beside(name: str, works: Sequence[Work], stop: threading.Event, *, patience: float = 5) -> Iterator[None]:
    """A thread for each, until `stop` is set, as it is when the block ends. Each then gets `patience` seconds."""
    threads = [threading.Thread(target=work, args=(stop,), name=name, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=patience)


def every(seconds: float, tick: Callable[[], object]) -> Work:
    """First when so many seconds have passed."""

    def work(stop: threading.Event) -> None:
        while not stop.wait(seconds):
            tick()

    return work
