"""The embedded adapter: the same tables and statements on SQLite. All roles may share one file."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from sqlalchemy import Connection, Table, insert

from repositories.driver_statements import Direct
from repositories.meter import asked
from repositories.relational import migrations
from repositories.relational.bulk import Rows
from repositories.relational.dump import RelationalDump
from repositories.relational.embedded.engine import Clock, reading_engine, writing_engine
from repositories.relational.embedded.errors import ROLE, translated
from repositories.relational.embedded.moving import place
from repositories.relational.port import Transaction
from repositories.relational.schema.functions import database_time
from repositories.relational.schema.tables import outbox
from repositories.relational.sql_store import SqlRelational
from repositories.relational.statement_runner import AutocommitRunner, Runner
from repositories.relational.transaction import SqlTransaction
from repositories.relational.work import Work, transaction
from repositories.sqlite.file import make_folder, path_of

_EMIT = insert(outbox).values(due_at=database_time()).inline()


def _process_time() -> datetime:
    return datetime.now(UTC)


class EmbeddedRelational(SqlRelational):
    """`clock` is used as the database's clock: SQLite has none but that of the process."""

    def __init__(self, url: str, clock: Clock = _process_time) -> None:
        self._path = path_of(url)
        self._reading = reading_engine(self._path, clock)
        self._writing = writing_engine(self._path, clock)
        self._read, self._write = Direct(self._reading), Direct(self._writing)
        runner = AutocommitRunner(self._reading.connect, translated, self._read)
        super().__init__(runner, self._snapshot)
        self.dump = RelationalDump(runner, self._snapshot, self._work, _load)
        self.place = place(self._path, clock, runner, self._snapshot, self._work, _load)

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self._transaction()

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        if dry_run and not self._path.exists():
            return migrations.upgrade(contextlib.nullcontext, dry_run=True)
        make_folder(self._path)
        with translated():
            return migrations.upgrade(self._writing.begin, dry_run=dry_run)

    def ping(self) -> None:
        with asked(ROLE, "ping"), translated(), self._reading.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        self._reading.dispose()
        self._writing.dispose()

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[Runner]:
        """A read transaction, which blocks nobody. It sees the file as of its first statement."""
        with translated(), self._reading.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                yield Work(connection, self._read, translated)
            finally:
                connection.exec_driver_sql("ROLLBACK")

    def _work(self) -> AbstractContextManager[Work]:
        return transaction(self._writing, self._write, translated)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        with self._work() as work:
            yield SqlTransaction(work, emit=_EMIT, load=_load)


def _load(connection: Connection, table: Table, rows: Rows) -> None:
    connection.execute(insert(table), rows)
