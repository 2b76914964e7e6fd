"""Single flight within a process: who is renewing which key."""

import threading
from collections.abc import Collection, Iterable


class Flights:
    """A latch for each key under way.

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
