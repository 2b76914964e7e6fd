"""Excludes objects that live as long as the process, such as modules, from garbage collection."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def staying() -> Iterator[None]:
    """Disable garbage collection in the block, and freeze what exists at its end.

    Collecting in the block would take a tenth of its time, and collecting at the end of the process as much again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
