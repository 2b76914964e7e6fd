"""PostgreSQL by psycopg 3.

Reads and outbox statements run on one pool, in autocommit mode; transactions on another. Each has at most `pool`
connections. Statements are prepared. With standbys, some reads go to them.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta

from sqlalchemy import BigInteger, Connection, Table, bindparam, func, insert, literal_column, select, text

from repositories.driver_statements import Call, Direct
from repositories.errors import ReadOnly
from repositories.meter import asked
from repositories.postgres.batches import Batches
from repositories.postgres.database import READ_ONLY
from repositories.postgres.errors import is_outdated
from repositories.postgres.hosts import Hosts
from repositories.postgres.pools import Lane, migrating_engine
from repositories.postgres.target import conninfo_of, replicas_of
from repositories.read_your_writes import MAY_LAG, HostState, ReplicaState, notes_of
from repositories.relational import migrations
from repositories.relational.bulk import Rows
from repositories.relational.dump import COPIED, RelationalDump
from repositories.relational.port import Transaction
from repositories.relational.postgres.errors import ROLE, translated
from repositories.relational.postgres.moving import place
from repositories.relational.postgres.positions import commit, parts_of
from repositories.relational.postgres.replicas import ReplicaRunner, Replicas
from repositories.relational.schema.columns import TEXT
from repositories.relational.schema.functions import database_time, numbered_by_time
from repositories.relational.schema.tables import outbox
from repositories.relational.sql_store import SqlRelational
from repositories.relational.statement_runner import AutocommitRunner, Runner
from repositories.relational.transaction import SqlTransaction
from repositories.relational.work import Work, transaction

_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
# Run after a load: without statistics the planner guesses.
_LOADED = (text(f"ANALYZE {', '.join(table.name for table in COPIED)}"),)
_MIGRATION_LOCK = 7_186_054_901_226_338_561

# The position is made of the time, which puts it above those of events that a relay has dispatched and removed. It is
# also above those of the aggregate's waiting events. These are all visible: every transaction that emits for the
# aggregate locks the same row before.
_EMITTED = ("id", "type", "aggregate", "happened_at", "payload", "traceparent", "attempts")
_before = (
    select(func.max(outbox.c.position))
    .where(outbox.c.aggregate == bindparam("aggregate", type_=TEXT), outbox.c.dead_lettered_at.is_(None))
    .scalar_subquery()
)
_EMIT = insert(outbox).from_select(
    (*_EMITTED, "position", "due_at"),
    select(
        *(bindparam(name, type_=outbox.c[name].type).label(name) for name in _EMITTED),
        func.greatest(numbered_by_time(), _before + literal_column("1", BigInteger)).label("position"),
        database_time().label("due_at"),
    ),
)


class PostgresRelational(SqlRelational):
    def __init__(self, url: str, *, timeout: timedelta, pool: int, replicas: str = "") -> None:
        self._url = url
        self._hosts = hosts = Hosts(conninfo_of(url), ROLE)
        seconds = timeout.total_seconds()
        self._reading = Lane(hosts, "read", role=ROLE, translated=translated(), seconds=seconds, size=pool)
        self._writing = Lane(hosts, "write", role=ROLE, translated=translated(), seconds=seconds, size=pool)
        pooled = hosts.target.pooled
        self._direct = (Direct if pooled else Batches)(self._writing.engine, is_outdated)
        direct = Batches(self._reading.engine, is_outdated) if self._reading.autocommits else None
        runner = AutocommitRunner(self._reading.open, self._guard, direct)
        super().__init__(runner, self._snapshot)
        self.dump = RelationalDump(runner, self._long_snapshot, self._long_work, _copy, _LOADED)
        self.place = place(runner, self._long_snapshot, self._long_work, _copy)
        self._replicas = Replicas(replicas_of(replicas, url), hosts, pool) if replicas else None
        self.replicated = self._replicas is not None
        if (found := self._replicas) is not None:
            read_elsewhere(self, lambda kind: ReplicaRunner(kind, runner, found, seconds))

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self._transaction()

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        engine = migrating_engine(self._hosts)

        @contextlib.contextmanager
        def begin() -> Iterator[Connection]:
            with engine.begin() as connection:
                if not dry_run:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                    # Later statements queue behind a waiting migration, and requests have only two seconds.
                    connection.execute(text("SET LOCAL lock_timeout = '1s'"))
                yield connection

        with translated():
            return migrations.upgrade(begin, dry_run=dry_run)

    def ping(self) -> None:
        with asked(ROLE, "ping"), self._guard(), self._reading.engine.connect() as connection:
            if connection.exec_driver_sql(READ_ONLY).scalar_one():
                raise ReadOnly(ROLE, "the server takes no writes")

    def notes(self) -> list[str]:
        return self._hosts.notes() + notes_of(self.replicas())

    def hosts(self) -> list[HostState]:
        return self._hosts.states()

    def replicas(self) -> list[ReplicaState]:
        return self._replicas.states() if self._replicas else []

    def close(self) -> None:
        if self._replicas:
            self._replicas.close()
        self._hosts.close()
        self._reading.engine.dispose()
        self._writing.engine.dispose()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        with self._reading.deadline(), self._reading.slot(), translated():
            yield

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[Runner]:
        with self._writing.slot(), transaction(self._writing.engine, self._direct, self._statement) as work:
            work.change(_SNAPSHOT, {})
            yield work

    @contextlib.contextmanager
    def _long_work(self) -> Iterator[Work]:
        """A transaction with the time limits of a migration, on a connection of its own."""
        engine = migrating_engine(self._hosts)
        with transaction(engine, Direct(engine, is_outdated), translated) as work:
            yield work

    @contextlib.contextmanager
    def _long_snapshot(self) -> Iterator[Runner]:
        with self._long_work() as work:
            work.change(_SNAPSHOT, {})
            yield work

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        engine, direct = self._writing.engine, self._direct
        with self._writing.slot(), transaction(engine, direct, self._statement, self._commit) as work:
            yield SqlTransaction(work, emit=_EMIT, load=_copy, patience=self._writing.patience)

    def _commit(self, connection: Connection, queued: Sequence[Call]) -> None:
        """Commit, and note the position of the server's log after it, if the server reports one."""
        position = commit(connection, self._direct, queued)
        if position is not None:
            if not self._hosts.acknowledged.committed(*parts_of(position)):
                # Behind a pooler the server may change under the same connection.
                self._hosts.look_again()
            if self._replicas:
                self._replicas.committed(position)

    def _statement(self) -> AbstractContextManager[None]:
        return _Statement(self._writing)


class _Statement:
    """Surrounds one statement of a transaction, with a deadline of its own."""

    __slots__ = ("_deadline",)

    def __init__(self, lane: Lane) -> None:
        self._deadline = lane.deadline()

    def __enter__(self) -> None:
        self._deadline.__enter__()

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        self._deadline.__exit__()
        translated().__exit__(kind, error, at)


def read_elsewhere(store: SqlRelational, runner: Callable[[str], Runner]) -> None:
    """Replace the methods listed in `MAY_LAG` by ones that read through the runner for their name."""
    for name, methods in MAY_LAG[ROLE].items():
        part = getattr(store, name)
        for method in methods:
            setattr(part, method, getattr(type(part)(runner(f"{name}.{method}")), method))


def _copy(connection: Connection, table: Table, rows: Rows) -> None:
    """COPY in the binary format, which takes a third of the time: formatting times as text is slow."""
    names = [column.name for column in table.c]
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101  - it is in use
    into = f"COPY {table.name} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor, cursor.copy(into) as copy:
        # psycopg looks types up by PostgreSQL's names.
        copy.set_types([column.type.compile(connection.dialect).lower() for column in table.c])
        for row in rows:
            copy.write_row([row[name] for name in names])
