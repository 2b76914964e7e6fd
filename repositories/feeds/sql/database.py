"""The differences between the engines: the form of ids, and how many rows are written at once."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from repositories.feeds.sql.statements import Upsert
from repositories.sql import Parameters, Row


class FeedDatabase(Protocol):
    """Thread-safe. Every method that asks the server may raise `Unavailable`, after which it may be repeated."""

    @abstractmethod
    def key(self, of: UUID) -> Any:
        """The id as a parameter of a statement."""

    @abstractmethod
    def uuid(self, key: Any) -> UUID:
        """The id in a row."""

    @abstractmethod
    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]: ...

    @abstractmethod
    def run(self, *calls: tuple[str, Parameters]) -> None:
        """Run statements in one transaction."""

    @abstractmethod
    def upsert(self, statement: Upsert, rows: Sequence[Row]) -> None:
        """Write all rows in one transaction. No row may be older than the retention. Keys may occur more than once."""
