"""The file under the embedded documents, feeds and hot stores (the relational one has SQLAlchemy's engine).

There are as many connections as active threads, a write-ahead log, and one writer at a time. All stores may share one
file: each uses tables with its own prefix, and none holds a write transaction while another store is called.
"""

import contextlib
import functools
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from repositories.errors import Conflict, Invalid, MovedAway, Unavailable
from repositories.explaining import explained_by_sqlite
from repositories.meter import asked
from repositories.moving.gate import REFUSAL
from repositories.read_your_writes import HostState
from repositories.slow_statements import Explained, of
from repositories.sql import Parameters, Row, SchemaChange, name_of, steps
from repositories.sqlite.file import BUSY_SECONDS, awaiting_the_writer, bound_wait, make_folder, make_private, set_up

_LIST = re.compile(r"= ANY \((\?|:\w+)\)")
_ROW_LOCK = re.compile(r"\s+FOR UPDATE(?: OF \w+)?(?: SKIP LOCKED)?")

# The types of parameters that `repositories.sql` promises. A list is expanded by `json_each`.
sqlite3.register_adapter(UUID, str)
sqlite3.register_adapter(list, lambda values: msgspec.json.encode(values).decode())


@functools.lru_cache(512)
def native(sql: str) -> str:
    """The statement in SQLite's dialect. Statements are constants, so the results are cached."""
    return _ROW_LOCK.sub("", _LIST.sub(r"IN (SELECT value FROM json_each(\1))", sql))


class SqliteConnection(sqlite3.Connection):
    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return super().execute(native(sql), parameters)

    def executemany(self, sql: str, rows: Iterable[Any], /) -> sqlite3.Cursor:
        return super().executemany(native(sql), rows)


class SqliteDatabase:
    """Thread-safe access to one file. `role` is the name in its errors; `clock` gives `now_seconds()`."""

    def __init__(self, path: Path, role: str, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._role = role
        self._clock = clock
        # The connection of this thread's transaction.
        self._local = threading.local()
        self._open: set[sqlite3.Connection] = set()
        # Last in, first out: the connection used last has statements prepared, and pages in memory.
        self._idle: list[sqlite3.Connection] = []

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        return self._rows("read", sql, parameters)

    def change(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        return self._rows("write", sql, parameters)

    def _rows(self, operation: str, sql: str, parameters: Parameters) -> list[Row]:
        slow = of(sql, lambda: self._explained(sql, parameters))
        with asked(self._role, operation, 1, slow), self._translated(), self._connection() as connection:
            if operation == "write":
                bound_wait(connection)
            return connection.execute(sql, parameters).fetchall()

    def _explained(self, sql: str, parameters: Parameters) -> Explained:
        nothing = dict.fromkeys(parameters) if isinstance(parameters, Mapping) else (None,) * len(parameters)
        with self._connection() as connection:
            return explained_by_sqlite(connection, sql, nothing)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A read transaction, which blocks nobody. Inside a write transaction of this thread it is that transaction."""
        mine: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if mine is not None:
            yield mine
            return
        with self._translated(), self._connection() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that takes the write lock at its start, so it cannot fail on upgrading its lock."""
        mine: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if mine is not None:
            yield mine
            return
        with asked(self._role, "write"), self._translated(), self._connection() as connection:
            with awaiting_the_writer(connection, self._role):
                connection.execute("BEGIN IMMEDIATE")
            self._local.connection = connection
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            finally:
                del self._local.connection
            connection.execute("COMMIT")

    def migrate(self, statements: Sequence[str], changes: Sequence[SchemaChange], *, dry_run: bool) -> list[str]:
        if dry_run and not self._path.exists():
            return steps(self._role, [], statements)
        make_folder(self._path)
        due = [change for change in changes if self.rows(change.needed)]
        there = {name for (name,) in self.rows("SELECT name FROM sqlite_master")}
        missing = [statement for statement in statements if name_of(statement) not in there]
        if (due or missing) and not dry_run:
            with self.write() as connection:
                for change in due:
                    # Another process may have made the change since.
                    if connection.execute(change.needed).fetchone():
                        for statement in change.statements:
                            connection.execute(statement)
                for statement in missing:
                    connection.execute(statement)
        return steps(self._role, due, missing)

    def ping(self) -> None:
        self.rows("SELECT 1")

    def notes(self) -> list[str]:
        return []

    def hosts(self) -> list[HostState]:
        return []

    def close(self) -> None:
        self._idle.clear()
        while self._open:
            self._open.pop().close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """The connection of this thread's transaction, else one that no other thread uses meanwhile."""
        mine: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if mine is not None:
            yield mine
            return
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            if connection in self._open:
                self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        make_private(self._path)
        connection = sqlite3.connect(
            self._path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            factory=SqliteConnection,
        )
        connection.create_function("now_seconds", 0, self._clock)
        set_up(connection)
        self._open.add(connection)
        return connection

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise (MovedAway(self._role, REFUSAL) if str(error) == REFUSAL else Conflict("id")) from error
        except sqlite3.OperationalError as error:
            raise Unavailable(self._role, str(error)) from error
        except (sqlite3.DataError, OverflowError, UnicodeEncodeError) as error:
            raise Invalid(str(error)) from error
