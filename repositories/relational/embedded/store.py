"""The embedded adapter: the same tables and statements on SQLite. All roles may share one file."""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, insert
from sqlalchemy.exc import IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.pool import QueuePool

from repositories.errors import Conflict, Contention, Invalid, NotFound, StoreError, Unavailable
from repositories.meter import asked
from repositories.relational import migrations
from repositories.relational.bulk.money import Rows
from repositories.relational.money.digests import chain
from repositories.relational.port import Transaction
from repositories.relational.reads import SqlRelational
from repositories.relational.runner import AutocommitRunner, transaction
from repositories.relational.schema.tables import outbox
from repositories.relational.unit import SqlTransaction
from repositories.sqlite import BUSY_SECONDS, make_folder, make_private, path_of, set_up

_ROLE = "relational"
_EMIT = insert(outbox).inline()
_FIELDS = {
    "accounts.id": "id",
    "accounts.handle_key": "handle",
    "logins.account_id": "id",
    "logins.email_key": "email",
    "outbox.id": "id",
    "orders.id": "id",
    "reservations.order_id, reservations.product_id": "id",
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PRIMARY_CODE = 0xFF


class EmbeddedRelational(SqlRelational):
    def __init__(self, url: str) -> None:
        self._path = path_of(url)
        self._reading = self._engine(isolation_level="AUTOCOMMIT")
        self._writing = self._engine()
        event.listen(self._writing, "begin", _begin_immediate)
        super().__init__(AutocommitRunner(self._reading.connect, _translated))

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self._transaction()

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        if dry_run and not self._path.exists():
            return migrations.upgrade(None, dry_run=True)
        make_folder(self._path)
        with _translated(), self._writing.begin() as connection:
            return migrations.upgrade(connection, dry_run=dry_run)

    def ping(self) -> None:
        with asked(_ROLE, "ping"), _translated(), self._reading.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        self._reading.dispose()
        self._writing.dispose()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        with transaction(self._writing, _translated) as work:
            yield SqlTransaction(work, emit=_EMIT, load=_load)

    def _engine(self, **options: Any) -> Engine:
        engine = create_engine(
            URL.create("sqlite", database=str(self._path)),
            poolclass=QueuePool,
            pool_size=0,  # no limit: each thread that is at work has its own connection
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
            **options,
        )
        event.listen(engine, "do_connect", lambda *_: make_private(self._path))
        event.listen(engine, "connect", _set_up)
        return engine


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    # The driver must not begin transactions; `_begin_immediate` does.
    connection.isolation_level = None
    set_up(connection)
    # Without this, REPLACE deletes rows without firing the triggers that refuse a DELETE.
    connection.execute("PRAGMA recursive_triggers=ON")
    connection.create_function("chained", 2, chain, deterministic=True)


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at the start, so that no transaction fails on upgrading its lock."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _load(connection: Connection, table: Table, rows: Rows) -> None:
    connection.execute(insert(table), rows)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
        raise _translate(error) from error


def _translate(error: Exception) -> StoreError:
    cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    if isinstance(cause, ValueError | OverflowError | sqlite3.DataError):
        return Invalid(str(cause))
    if isinstance(error, IntegrityError):
        return _broken_rule(cause)
    if getattr(cause, "sqlite_errorcode", 0) & _PRIMARY_CODE in _BUSY:
        return Contention(str(cause))
    return Unavailable(_ROLE, str(cause))


def _broken_rule(cause: BaseException) -> StoreError:
    code = getattr(cause, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return NotFound(str(cause))
    if code in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
        field = _FIELDS.get(str(cause).rpartition(": ")[2])
        return Conflict(field) if field else Contention(str(cause))
    return Invalid(str(cause))
