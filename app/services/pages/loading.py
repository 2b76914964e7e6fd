"""Protects the sources from too many loads: a process loads a key only once at a time, and limits concurrent loads."""

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

    Results are not shared: a load that began before a caller came may return a value older than a write the caller
    knows of. After waiting, callers read the cache again, where a drop has taken effect.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._under_way: dict[str, threading.Event] = {}

    def claim(self, keys: Iterable[str]) -> tuple[list[str], dict[str, threading.Event]]:
        """The keys that nobody was loading, which are the caller's until `land`, and for the others the events that
        are set when their loads end.
        """
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
    """At most `places` loads at once. A load that gets no slot within `patience` raises `Unavailable` (503).

    While the cache is unavailable, all reads go to the sources; more of them than the sources can take wait here, for a
    short time. A nested load of the same thread needs no second slot.
    """

    def __init__(self, places: int, patience: timedelta) -> None:
        self._slots = threading.BoundedSemaphore(places)
        self._patience = patience.total_seconds()
        self._local = threading.local()

    def __enter__(self) -> Self:
        depth: int = getattr(self._local, "depth", 0)
        if depth == 0 and not self._slots.acquire(timeout=at_most(self._patience)):
            raise Unavailable("source", "too many reads at once")
        self._local.depth = depth + 1
        return self

    def __exit__(self, *_: object) -> None:
        self._local.depth -= 1
        if self._local.depth == 0:
            self._slots.release()


def is_due(held: Held, draw: float, beta: float = 1.0) -> bool:
    """XFetch: the closer the expiry and the more expensive the load, the likelier. Always True after the expiry.

    `draw` is random in [0, 1); `beta` above 1 renews earlier (Vattani et al., "Optimal Probabilistic Cache Stampede
    Prevention", VLDB 2015).
    """
    return held.left <= held.value.cost * beta * -math.log(1 - draw)
