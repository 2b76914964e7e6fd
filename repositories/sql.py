"""What the adapters of a role need of a database of SQL, so that SQLite's and PostgreSQL's share their statements.

A statement is written once, with `?` or `:name` for its parameters, and runs on both where both understand it.
`now_seconds()` in it is the database's own time, in seconds since 1970. It may also have `= ANY (?)`, for a list, and
`FOR UPDATE`, with `OF` and `SKIP LOCKED`: SQLite's file writes the first in another way, and leaves out the second,
since a write transaction has the whole file. Ids are given as `UUID`, and read by `id_of`: SQLite returns text.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol
from uuid import UUID

Parameters = Sequence[Any] | Mapping[str, Any]
Row = tuple[Any, ...]


class Result(Protocol):
    """Of one statement. `rowcount` is how many rows it changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class SqlWork(Protocol):
    """An open transaction."""

    def execute(self, sql: str, parameters: Parameters = (), /) -> Result: ...

    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> object:
        """The statement, once for each of the rows."""


class SqlDatabase(Protocol):
    """Thread-safe. Errors are those of the ports, and each call has a deadline."""

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """What a single statement returns: of the transaction in whose block this is, else on its own."""

    def change(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """As `rows`, of a statement that writes. It ends with `RETURNING`, since it has to return something."""

    def snapshot(self) -> AbstractContextManager[SqlWork]:
        """A transaction that only reads: all as it is at its first statement. It may take long."""

    def write(self) -> AbstractContextManager[SqlWork]:
        """A transaction. It is committed when the block ends, and rolled back when that raises."""


class SchemaChange(NamedTuple):
    """A change of a table that an earlier version made. It is due when `needed` finds a row."""

    name: str
    needed: str
    statements: Sequence[str]


def id_of(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)
