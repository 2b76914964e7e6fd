"""The connection pools that are open in this process, for those who watch them and for the check at boot."""

import threading
from typing import Protocol
from weakref import WeakSet

from msgspec import Struct


class Room(Struct, frozen=True):
    """How many connections a server has for us. `because` tells how it comes to that."""

    connections: int
    because: str


class Pool(Protocol):
    """`size` calls at once; `beside` connections more that the driver keeps for itself. `server` is host and port."""

    store: str
    lane: str
    server: str
    size: int
    beside: int

    def in_use(self) -> int: ...

    def room(self) -> Room | None:
        """Ask the server; None: it does not say. Raises `Unavailable`."""


_guard = threading.Lock()
_pools: WeakSet[Pool] = WeakSet()


def opened(pool: Pool) -> None:
    """Make it known. It is forgotten when nobody else holds it."""
    with _guard:
        _pools.add(pool)


def pools() -> list[Pool]:
    with _guard:
        return sorted(_pools, key=lambda pool: (pool.store, pool.lane))
