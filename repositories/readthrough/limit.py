"""How many loads a source gets at once from this process."""

import threading
from datetime import timedelta
from typing import Self

from repositories.errors import Unavailable


class Limit:
    """A bounded number of places. Who gets none in time is refused with `Unavailable`, which is a 503.

    While the cache is away all reads come to the source; those beyond its strength wait here, and not for long. A
    load within a load needs no second place.
    """

    def __init__(self, places: int, patience: timedelta) -> None:
        self._places = threading.BoundedSemaphore(places)
        self._patience = patience.total_seconds()
        self._mine = threading.local()

    def __enter__(self) -> Self:
        depth: int = getattr(self._mine, "depth", 0)
        if depth == 0 and not self._places.acquire(timeout=self._patience):
            raise Unavailable("source", "too many reads at once")
        self._mine.depth = depth + 1
        return self

    def __exit__(self, *_: object) -> None:
        self._mine.depth -= 1
        if self._mine.depth == 0:
            self._places.release()
