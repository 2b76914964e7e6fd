"""The operations common to the stores of all roles."""

from abc import abstractmethod
from typing import Protocol

from repositories.moving.places import StorePlace
from repositories.read_your_writes import HostState, ReplicaState


class Store(Protocol):
    # Whether some reads go to replicas.
    replicated: bool = False
    # None if the role cannot be moved while it serves.
    place: StorePlace | None = None

    @abstractmethod
    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the schema up to date; idempotent. Returns one line per step taken (or that would be taken)."""

    @abstractmethod
    def ping(self) -> None:
        """Check that the store answers and takes writes. Raises `Unavailable`, or `ReadOnly` if it only answers."""

    def notes(self) -> list[str]:
        """Problems of a store that still serves, one line each, without host names. Makes no call to the store."""
        return []

    def replicas(self) -> list[ReplicaState]:
        """The replicas to which reads may go, in the order of the configuration. Makes no call to the store."""
        return []

    def hosts(self) -> list[HostState]:
        """The servers behind the URL; empty for a file. Makes no call to the store."""
        return []

    @abstractmethod
    def close(self) -> None: ...
