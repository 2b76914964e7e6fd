"""Runs the shared SQL on an engine, one statement at a time, and translates the driver's errors."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, Row, Select, UpdateBase

from repositories.driver_statements import Call, Direct, Values
from repositories.errors import StoreError
from repositories.explaining import explained
from repositories.meter import asked
from repositories.slow_statements import Explained, of
from repositories.translation import Undone

E = TypeVar("E", bound=StoreError)
R = TypeVar("R")
Guard = Callable[[], AbstractContextManager[None]]
AnyRow = Row[*tuple[Any, ...]]
_STORE = "relational"
ATTEMPTS = 4


class Runner(Protocol):
    def rows(self, statement: Executable, values: Values) -> Sequence[AnyRow]:
        """All rows that the statement returns."""

    def change(self, statement: Executable, values: Values) -> int:
        """How many rows the statement changed."""


# Commits, behind what has waited for it.
End = Callable[[Connection, Sequence[Call]], None]
# Of a store at one moment.
Snapshot = Callable[[], AbstractContextManager[Runner]]


class RunnerBacked:
    """A part of the store whose statements run on `runner`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner


class AutocommitRunner(Runner):
    """Runs each statement on its own. `guard` surrounds the check-out of a connection and the statement.

    `open` is the engine's `connect`, or its `begin` where a statement has to be a transaction; `direct` sends what it
    can instead. What is `Undone` is sent again, up to `ATTEMPTS` times in all. `store` is for monitoring.
    """

    def __init__(
        self,
        open_: Callable[[], AbstractContextManager[Connection]],
        guard: Guard,
        direct: Direct | None = None,
        store: str = _STORE,
    ) -> None:
        self._open = open_
        self._guard = guard
        self._direct = direct
        self._store = store

    def rows(self, statement: Executable, values: Values) -> Sequence[AnyRow]:
        if self._direct and isinstance(values, dict) and (plan := self._direct.plan(statement, values)):
            send = functools.partial(self._direct.rows, plan, values)
            return self._run(statement, lambda: self._guarded(send))
        return self._run(statement, lambda: self._attempt(statement, values, lambda result: result.all()))

    def change(self, statement: Executable, values: Values) -> int:
        return self._run(statement, lambda: self._attempt(statement, values, _changed))

    def _run(self, statement: Executable, attempt: Callable[[], R]) -> R:
        with asked(self._store, _operation(statement), 1, of(statement, lambda: self._explained(statement))):
            for _ in range(ATTEMPTS - 1):
                with contextlib.suppress(Undone):
                    return attempt()
            return attempt()

    def _explained(self, statement: Executable) -> Explained:
        with self._guard(), self._open() as connection:
            return explained(connection, statement)

    def _guarded(self, send: Callable[[], R]) -> R:
        with self._guard():
            return send()

    def _attempt(self, statement: Executable, values: Values, read: Callable[[CursorResult[Any]], R]) -> R:
        with self._guard(), self._open() as connection:
            return read(connection.execute(statement, values))


def _commit(connection: Connection, queued: Sequence[Call]) -> None:
    assert not queued  # noqa: S101  - whoever sends calls together commits with them
    connection.commit()


class Work(Runner):
    """The statements of one transaction.

    The first error aborts the transaction, also when the caller catches it, as in PostgreSQL. `end` commits it.
    What is `queue`d waits for the next statement or the commit.
    """

    def __init__(
        self,
        connection: Connection,
        direct: Direct,
        guard: Guard,
        end: End = _commit,
    ) -> None:
        self._connection = connection
        self._direct = direct
        self._guard = guard
        self._end = end
        self._failure: StoreError | None = None
        self._open = False
        self._queued: list[Call] = []
        # The database's time, as an answer of it last had it.
        self.seen: datetime | None = None

    def rows(self, statement: Executable, values: Values) -> Sequence[AnyRow]:
        values = _alone(values)
        plan = self._direct.plan(statement, values)
        if plan is None:
            with self.connection(_operation(statement), statement) as connection:
                return connection.execute(statement, values).all()
        with self._call(_operation(statement), statement) as connection:
            return self._direct.send(connection, [*self._taken(), Call(plan, values)], plan.rows)

    def change(self, statement: Executable, values: Values) -> int:
        values = _alone(values)
        plan = self._direct.plan(statement, values)
        if plan is None:
            with self.connection(_operation(statement), statement) as connection:
                return _changed(connection.execute(statement, values))
        with self._call(_operation(statement), statement) as connection:
            return self._direct.send(connection, [*self._taken(), Call(plan, values)], _changed)

    def queue(self, statement: Executable, values: Values) -> None:
        """A change of which nobody needs to know how many rows it was. Where that is cheaper it is sent with the next
        statement, in this order, or with the commit, which then raises what it meets.
        """
        values = _alone(values)
        plan = self._direct.plan(statement, values) if self._direct.sends_together else None
        if plan is None:
            self.change(statement, values)
            return
        with self._call(_operation(statement), None):
            self._queued.append(Call(plan, values))

    def begin(self, statement: Executable, values: dict[str, Any]) -> "BegunRows":
        """Rows that are sent for as `queue` sends, so that they cost no round trip of their own. They are there when
        the next statement is answered; whoever asks for them before that sends what is queued.
        """
        plan = self._direct.plan(statement, values) if self._direct.sends_together else None
        if plan is None:
            return BegunRows(self.flush, self.rows(statement, values))
        begun = BegunRows(self.flush)
        with self._call(_operation(statement), None):
            self._queued.append(Call(plan, values, begun.answer))
        return begun

    def flush(self) -> None:
        """Send what is queued."""
        if calls := self._taken():
            with self._call("queued", None, trips=0) as connection:
                self._direct.send(connection, calls, _changed)

    def refused(self, error: E) -> E:
        """Abort the transaction with an error that the engine did not raise. Returns the error, to be raised."""
        self._failure = error
        return error

    def commit(self) -> None:
        with self._call("commit", None) as connection:
            self._end(connection, self._taken())
        self._open = False

    def close(self) -> None:
        """Roll back what is not committed, and return the connection to its pool."""
        report = asked(_STORE, "rollback") if self._open else contextlib.nullcontext()
        with report, self._guard():
            self._connection.close()

    def connection(
        self, operation: str = "load", statement: Executable | None = None
    ) -> AbstractContextManager[Connection]:
        """For what is sent past this. Nothing is waiting then."""
        self.flush()
        return self._call(operation, statement)

    def _call(self, operation: str, statement: Executable | None, trips: int = 1) -> "_Call":
        if self._failure is not None:
            raise self._failure
        # The first statement follows a BEGIN, which is a command of its own.
        first, self._open = not self._open, True
        slow = None if statement is None else of(statement, lambda: self._explained(statement))
        return _Call(self, self._connection, asked(_STORE, operation, trips + first, slow), self._guard())

    def _taken(self) -> Sequence[Call]:
        taken, self._queued = self._queued, []
        return taken

    def _explained(self, statement: Executable) -> Explained:
        """Outside of the transaction, which may have ended."""
        with self._guard(), self._connection.engine.connect() as connection:
            return explained(connection, statement)


class BegunRows:
    """The rows of a statement that goes with the next one. `send` sends it now."""

    __slots__ = ("_rows", "_send")

    def __init__(self, send: Callable[[], None], rows: Sequence[AnyRow] | None = None) -> None:
        self._send = send
        self._rows = rows

    def answer(self, rows: Sequence[AnyRow]) -> None:
        self._rows = rows

    def rows(self) -> Sequence[AnyRow]:
        """Raises what the statement was refused with."""
        if self._rows is None:
            self._send()
        assert self._rows is not None  # noqa: S101  - the transaction would have failed
        return self._rows


class _Call:
    """Surrounds one call of a transaction, and tells it of the error. A generator would cost twice as much."""

    __slots__ = ("_asked", "_connection", "_guard", "_work")

    def __init__(self, work: Work, connection: Connection, asked_: asked, guard: AbstractContextManager[None]) -> None:
        self._work = work
        self._connection = connection
        self._asked = asked_
        self._guard = guard

    def __enter__(self) -> Connection:
        self._asked.__enter__()
        self._guard.__enter__()
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._guard.__exit__(kind, error, at)
        except StoreError as translated:
            error = translated
            raise
        finally:
            if isinstance(error, StoreError):
                self._work.refused(error)
            self._asked.__exit__(type(error) if error else None)


@contextlib.contextmanager
def transaction(engine: Engine, direct: Direct, guard: Guard, end: End = _commit) -> Iterator[Work]:
    """Commits when the block ends, rolls back when it raises. Errors of the block itself are not translated."""
    with guard():
        connection = engine.connect()
    work = Work(connection, direct, guard, end)
    try:
        with guard():
            connection.begin()
        yield work
        work.commit()
    finally:
        work.close()


def _alone(values: Values) -> Values:
    """A single row as such: for a list psycopg enters its pipeline mode, which costs more than one statement."""
    return values if isinstance(values, dict) or len(values) != 1 else values[0]


def _changed(result: Any) -> int:
    """Of SQLAlchemy's result or of the driver's cursor."""
    return int(result.rowcount)


@functools.lru_cache(maxsize=1024)
def _operation(statement: Executable) -> str:
    """The statement's name in monitoring, such as `select posts`. Statements are constants, so names are cached."""
    verb = getattr(statement, "__visit_name__", "statement")
    if isinstance(statement, UpdateBase):
        return f"{verb} {getattr(statement.table, 'name', '')}".rstrip()
    sources = statement.columns_clause_froms if isinstance(statement, Select) else ()
    return f"{verb} {getattr(sources[0], 'name', '')}".rstrip() if sources else verb
