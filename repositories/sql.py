"""The interface to an SQL database, so that the SQLite and PostgreSQL adapters of a role share their statements.

A statement is written once, with `?` or `:name` for parameters, in SQL that both engines accept. `now_seconds()` is the
database's own time, in seconds since 1970. Two constructs of PostgreSQL may be used as well: `= ANY (?)` with a list,
which `SqliteDatabase` rewrites, and `FOR UPDATE`, also with `OF` and `SKIP LOCKED`, which it removes, since a write
transaction of SQLite locks the whole file. Ids are passed as `UUID` and read with `id_of`, because SQLite returns text.
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
    """A change to a table made by an earlier version. It is due if the query `needed` returns a row."""

    name: str
    needed: str
    statements: Sequence[str]


class Result(Protocol):
    """The result of one statement. `rowcount` is the number of rows changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class SqlWork(Protocol):
    """An open transaction."""

    def execute(self, sql: str, parameters: Parameters = (), /) -> Result: ...

    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> object:
        """Run the statement once for each of the rows."""


class SqlDatabase(Protocol):
    """Thread-safe. Errors are those of the ports, and each call has a deadline."""

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """The rows of a single statement, run in the transaction of the enclosing block, or without one on its own."""

    def change(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Like `rows`, for a statement that writes. It must end with `RETURNING`, since it has to return rows."""

    def snapshot(self) -> AbstractContextManager[SqlWork]:
        """A read-only transaction that sees the database as of its first statement. It may take long."""

    def write(self) -> AbstractContextManager[SqlWork]:
        """A transaction, committed when the block ends and rolled back if the block raises."""

    def migrate(self, statements: Sequence[str], changes: Sequence[SchemaChange], *, dry_run: bool) -> list[str]:
        """Make the changes that are due, then run each `CREATE ... IF NOT EXISTS name` whose object is missing.

        Returns what was done (or would be), in the form of `steps`.
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
    """The name of the object that a `CREATE ... IF NOT EXISTS name` creates."""
    return re.split(r"[\s(]", statement.split("IF NOT EXISTS ", 1)[1], maxsplit=1)[0]


def steps(role: str, due: Iterable[SchemaChange], missing: Iterable[str]) -> list[str]:
    """A line for each change and each statement of a migration."""
    done = [*(change.name for change in due), *(" ".join(sql.split("(")[0].split()) for sql in missing)]
    return [f"{role}: {name}" for name in done]
