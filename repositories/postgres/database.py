"""The database under the documents, feeds and hot stores (the relational store uses SQLAlchemy's statements).

One pool for reads and writes. Statements are prepared, and their values are binary. The tables of each role have its
prefix, so all roles may share one database.
"""

import contextlib
import functools
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.pool import PoolProxiedConnection

from repositories.driver_statements import drop_if_lost
from repositories.errors import ReadOnly
from repositories.meter import asked
from repositories.postgres.deadline import BoundedConnection
from repositories.postgres.errors import is_outdated, translation
from repositories.postgres.explaining import explained_by_postgres
from repositories.postgres.hosts import Hosts
from repositories.postgres.pools import Lane, migrating_engine
from repositories.postgres.target import conninfo_of
from repositories.postgres.value_conversion import adapt
from repositories.read_your_writes import HostState
from repositories.slow_statements import Explained, of
from repositories.sql import Parameters, Row, SchemaChange, name_of, steps
from repositories.translation import Outdated

READ_ONLY = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
_TABLE_EXISTS = "SELECT to_regclass(?) IS NOT NULL"
_NOW = "extract(epoch FROM statement_timestamp())::float8"
# A parameter. Casts and quoted text are matched too, but left as they are.
_PARAMETER = re.compile(r"'[^']*'|::|(?::(?P<name>\w+)|(?P<mark>\?))(?=(?P<array>::\w+\[\])?)|%")


class PostgresWork:
    """An open transaction on one connection."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self.trips = 0

    def execute(self, sql: str, parameters: Parameters = (), /) -> psycopg.Cursor:
        self.trips += 1
        return self._connection.execute(native(sql), parameters, binary=True)

    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> None:
        every = list(rows)
        if not every:
            return
        self.trips += 1
        with self._connection.cursor(binary=True) as cursor:
            cursor.executemany(native(sql), every)


class PostgresDatabase:
    """Connects when first used; may be used again after `close`.

    `role` is its name in errors and metrics. `fields` maps unique constraints to the field of the `Conflict`.
    `settings` are settings of the server for each connection.
    """

    def __init__(
        self,
        url: str,
        role: str,
        *,
        timeout: timedelta,
        pool: int,
        fields: Mapping[str, str],
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._role = role
        self._hosts = Hosts(conninfo_of(url), role)
        self._translated = translation(role, fields=fields)
        self._lane = Lane(
            self._hosts,
            "all",
            role=role,
            translated=self._translated,
            seconds=timeout.total_seconds(),
            size=pool,
            settings=settings,
        )
        event.listen(self._lane.engine, "connect", adapt)
        # `work` is the thread's open transaction.
        self._local = threading.local()

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        return self._rows("read", sql, parameters)

    def change(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        return self._rows("write", sql, parameters)

    def _rows(self, operation: str, sql: str, parameters: Parameters) -> list[Row]:
        with asked(self._role, operation, 1, of(sql, lambda: self._explained(sql))):
            mine: PostgresWork | None = getattr(self._local, "work", None)
            if mine is not None:
                return mine.execute(sql, parameters).fetchall()
            try:
                return self._rows_alone(sql, parameters)
            except Outdated:
                return self._rows_alone(sql, parameters)

    def _explained(self, sql: str) -> Explained:
        with self._connection() as connection:
            return explained_by_postgres(connection, native(sql).decode())

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[PostgresWork]:
        with self._long_transaction() as work:
            work.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield work

    @contextlib.contextmanager
    def write(self) -> Iterator[PostgresWork]:
        """A transaction, or that of the surrounding block. BEGIN and COMMIT are counted as round trips."""
        mine: PostgresWork | None = getattr(self._local, "work", None)
        if mine is not None:
            yield mine
            return
        begin_and_commit = 2
        with (
            asked(self._role, "write", trips=begin_and_commit) as call,
            self._connection() as connection,
            self._transaction(connection) as work,
        ):
            self._local.work = work
            try:
                yield work
            finally:
                del self._local.work
                call.trips += work.trips

    def migrate(self, statements: Sequence[str], changes: Sequence[SchemaChange], *, dry_run: bool) -> list[str]:
        with self._long_transaction() as work:
            if not dry_run:
                work.execute("SET LOCAL lock_timeout = '5s'")
                work.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (f"migrate {self._role}",))
            due = [change for change in changes if work.execute(change.needed).fetchone()]
            missing = [sql for sql in statements if not work.execute(_TABLE_EXISTS, (name_of(sql),)).fetchall()[0][0]]
            for sql in [] if dry_run else [*(sql for change in due for sql in change.statements), *missing]:
                work.execute(sql)
        return steps(self._role, due, missing)

    def ping(self) -> None:
        if self.rows(READ_ONLY)[0][0]:
            raise ReadOnly(self._role, "the server takes no writes")

    def notes(self) -> list[str]:
        return self._hosts.notes()

    def hosts(self) -> list[HostState]:
        return self._hosts.states()

    def close(self) -> None:
        self._hosts.close()
        self._lane.engine.dispose()

    @property
    def pooled(self) -> bool:
        """Whether consecutive transactions may run on different connections of the server."""
        return self._hosts.target.pooled

    def keep_beside(self) -> None:
        """Count one connection in addition to those of the pool."""
        self._lane.beside += 1

    def connect_beside(self) -> BoundedConnection:
        """A connection to the writer outside of the pool, which may be idle without a time limit.

        Raises `psycopg.Error`.
        """
        keywords = self._hosts.target.keywords
        options = f"-c idle_session_timeout=0 {keywords.get('options', '')}".strip()
        own = {"application_name": "quartet", "options": options, "autocommit": True, "prepare_threshold": None}
        return self._hosts.connect({**keywords, **own})

    def _rows_alone(self, sql: str, parameters: Parameters) -> list[Row]:
        with self._connection() as connection:
            if self._lane.autocommits:
                return PostgresWork(connection).execute(sql, parameters).fetchall()
            with self._transaction(connection) as work:
                return work.execute(sql, parameters).fetchall()

    @contextlib.contextmanager
    def _long_transaction(self) -> Iterator[PostgresWork]:
        """A transaction that may take as long as a migration, on a connection of its own."""
        with self._translated, migrating_engine(self._hosts).begin() as connection:
            driver = driver_of(connection.connection)
            adapt(driver, None)
            yield PostgresWork(driver)

    @contextlib.contextmanager
    def _transaction(self, connection: psycopg.Connection) -> Iterator[PostgresWork]:
        with connection.transaction():
            if self._lane.first:
                connection.execute(self._lane.first, prepare=False)
            yield PostgresWork(connection)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        with self._lane.deadline(), self._lane.slot(), self._translated:
            pooled = self._lane.engine.raw_connection()
            try:
                yield driver_of(pooled)
            except psycopg.Error as error:
                drop_if_lost(self._lane.engine, pooled, error, is_outdated)
                raise
            finally:
                pooled.close()


def driver_of(pooled: PoolProxiedConnection) -> psycopg.Connection:
    driver: Any = pooled.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101  it is in use
    return driver


@functools.cache
def native(sql: str) -> bytes:
    """The statement with psycopg's placeholders. Cached, since statements are constants."""
    return _PARAMETER.sub(_mark, sql).replace("now_seconds()", _NOW).encode()


def _mark(found: re.Match[str]) -> str:
    """An array is sent in binary: as text each of its items would be quoted, in Python."""
    kind = "b" if found["array"] else "s"
    if found["name"]:
        return f"%({found['name']}){kind}"
    return f"%{kind}" if found["mark"] else found[0].replace("%", "%%")
