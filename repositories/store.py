"""What every role's store can do, beside what its own port says."""

from abc import abstractmethod
from typing import Protocol


class Store(Protocol):
    @abstractmethod
    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the schema up to date; idempotent. Returns one line per step taken (or that would be taken)."""

    @abstractmethod
    def ping(self) -> None:
        """Raises `Unavailable`."""

    @abstractmethod
    def close(self) -> None: ...
