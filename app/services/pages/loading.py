"""Protects the sources from too many loads: a process loads a key once at a time, and only so many keys at once."""

import math
import threading
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Self

from repositories.deadline import at_most
from repositories.errors import Unavailable
from repositories.hot import Held


class Flights:
    """Single flight within a process: a latch for each key that is being loaded.

    Nobody is handed another's result: a value loaded before its caller came may be older than a write the caller
    knows of. Who waited looks into the cache again, where a drop has its effect.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._under_way: dict[str, threading.Event] = {}

    def claim(self, keys: Iterable[str]) -> tuple[list[str], dict[str, threading.Event]]:
        """The keys nobody had, which are the caller's until `land`; and what ends the others' flights."""
        landed, mine, theirs = threading.Event(), [], {}
        with self._guard:
            for key in keys:
                other = self._under_way.setdefault(key, landed)
                if other is landed:
                    mine.append(key)
                else:
                    theirs[key] = other
        return mine, theirs

    def land(self, keys: Collection[str]) -> None:
        with self._guard:
            events = {self._under_way.pop(key) for key in keys}
        for landed in events:
            landed.set()


class Limit:
    """At most `places` loads at once. Who gets no place within `patience` is refused with `Unavailable`, a 503.

    While the cache is away all reads come to the sources; those beyond their strength wait here, and not for long. A
    load within a load needs no second place.
    """

    def __init__(self, places: int, patience: timedelta) -> None:
        self._places = threading.BoundedSemaphore(places)
        self._patience = patience.total_seconds()
        self._mine = threading.local()

    def __enter__(self) -> Self:
        depth: int = getattr(self._mine, "depth", 0)
        if depth == 0 and not self._places.acquire(timeout=at_most(self._patience)):
            raise Unavailable("source", "too many reads at once")
        self._mine.depth = depth + 1
        return self

    def __exit__(self, *_: object) -> None:
        self._mine.depth -= 1
        if self._mine.depth == 0:
            self._places.release()


def is_due(held: Held, draw: float, beta: float = 1.0) -> bool:
    """XFetch: the nearer the end and the dearer the load, the likelier; surely when the time is over.

    `draw` is random, from 0 to below 1; `beta` above 1 renews earlier (Vattani et al., "Optimal Probabilistic Cache
    Stampede Prevention", VLDB 2015).
    """
    return held.left <= held.value.cost * beta * -math.log(1 - draw)
