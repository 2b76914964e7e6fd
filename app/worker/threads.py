"""Threads that a relay runs beside its rounds."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Work = Callable[[threading.Event], None]


@contextmanager
def beside(name: str, works: Sequence[Work], stop: threading.Event, *, patience: float = 5) -> Iterator[None]:
    """Run each of `works` in a thread during the block.

    The end of the block sets `stop`, and waits up to `patience` seconds for each thread.
    """
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
    """Work that calls `tick` every `seconds`, first after `seconds`, until it is stopped."""

    def work(stop: threading.Event) -> None:
        while not stop.wait(seconds):
            tick()

    return work
