"""The open connection pools of this process, for metrics and for the check at boot."""

import threading
from typing import Protocol
from weakref import WeakSet

from msgspec import Struct


class Room(Struct, frozen=True):
    """The connections that a server has left for this application. `because` explains the number."""

    connections: int
    because: str


class Pool(Protocol):
    """Allows `size` concurrent calls. `beside` further connections only watch or listen. `server` is host and port."""

    store: str
    lane: str
    server: str
    size: int
    beside: int

    def in_use(self) -> int: ...

    def room(self) -> Room | None:
        """Ask the server for its limits. None if it does not report them. Raises `Unavailable`."""


_guard = threading.Lock()
_pools: WeakSet[Pool] = WeakSet()


def opened(pool: Pool) -> None:
    """Register the pool, by a weak reference."""
    with _guard:
        _pools.add(pool)


def pools() -> list[Pool]:
    with _guard:
        return sorted(_pools, key=lambda pool: (pool.store, pool.lane))
