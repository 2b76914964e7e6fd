"""What the adapters of a role need of a database of SQL, so that SQLite's and PostgreSQL's share their statements.

A statement is written once, with `?` or `:name` for its parameters, and runs on both where both understand it.
`now_seconds()` in it is the database's own time, in seconds since 1970. It may also have `= ANY (?)`, for a list, and
`FOR UPDATE`, with `OF` and `SKIP LOCKED`: SQLite's file writes the first in another way, and leaves out the second,
since a write transaction has the whole file. Ids are given as `UUID`, and read by `id_of`: SQLite returns text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from repositories.read_your_writes import HostState
from repositories.store import Store

Parameters = Sequence[Any] | Mapping[str, Any]
Row = tuple[Any, ...]


class SchemaChange(NamedTuple):
    """A change of a table that an earlier version made. It is due when `needed` finds a row."""

    name: str
    needed: str
    statements: Sequence[str]


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

    def migrate(self, statements: Sequence[str], changes: Sequence[SchemaChange], *, dry_run: bool) -> list[str]:
        """Make the changes that are due, then run those `CREATE ... IF NOT EXISTS name` whose object is missing.

        Returns what was done, by `steps`.
        """

    def ping(self) -> None:
        """As `Store.ping`."""

    def notes(self) -> list[str]:
        """As `Store.notes`."""

    def hosts(self) -> list[HostState]:
        """As `Store.hosts`."""

    def close(self) -> None: ...


def id_of(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


class SqlBacked(Store):
    """The common base of the adapters. `_tables` and `_changes` define the schema."""

    _database: SqlDatabase
    _tables: Sequence[str]
    _changes: Sequence[SchemaChange] = ()

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return self._database.migrate(self._tables, self._changes, dry_run=dry_run)

    def ping(self) -> None:
        self._database.ping()

    def notes(self) -> list[str]:
        return self._database.notes()

    def hosts(self) -> list[HostState]:
        return self._database.hosts()

    def close(self) -> None:
        self._database.close()


def name_of(statement: str) -> str:
    """Of what a `CREATE ... IF NOT EXISTS name` makes."""
    return re.split(r"[\s(]", statement.split("IF NOT EXISTS ", 1)[1], maxsplit=1)[0]


def steps(role: str, due: Iterable[SchemaChange], missing: Iterable[str]) -> list[str]:
    """A line for each change and each statement of a migration."""
    done = [*(change.name for change in due), *(" ".join(sql.split("(")[0].split()) for sql in missing)]
    return [f"{role}: {name}" for name in done]
