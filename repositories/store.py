"""The operations common to the stores of all roles."""

from abc import abstractmethod
from typing import Protocol

from repositories.moving.places import StorePlace
from repositories.read_your_writes import HostState, ReplicaState


class Store(Protocol):
    # Whether some reads go to replicas.
    replicated: bool = False
    # None where the role cannot be moved while it serves.
    place: StorePlace | None = None

    @abstractmethod
    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the schema up to date; idempotent. Returns one line per step taken (or that would be taken)."""

    @abstractmethod
    def ping(self) -> None:
        """Whether it answers and takes writes. Raises `Unavailable`; `ReadOnly` where it answers only."""

    def notes(self) -> list[str]:
        """What is amiss although it serves, one line each, without names of hosts. Asks nobody."""
        return []

    def replicas(self) -> list[ReplicaState]:
        """The servers that reads go to beside the primary, in the order of the configuration. Asks nobody."""
        return []

    def hosts(self) -> list[HostState]:
        """The servers behind the URL, none for a file. Asks nobody."""
        return []

    @abstractmethod
    def close(self) -> None: ...
