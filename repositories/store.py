"""The operations common to the stores of all roles."""

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
