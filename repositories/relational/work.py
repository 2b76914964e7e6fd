"""One transaction: its statements, those queued for the next round trip, and its first error."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Executable

from repositories.driver_statements import Call, Direct, Values
from repositories.errors import StoreError
from repositories.explaining import explained
from repositories.meter import asked
from repositories.relational.statement_runner import STORE, AnyRow, Guard, Runner, changed, operation_of
from repositories.slow_statements import Explained, of

E = TypeVar("E", bound=StoreError)
# Sends the queued calls and commits.
End = Callable[[Connection, Sequence[Call]], None]


def _commit(connection: Connection, queued: Sequence[Call]) -> None:
    assert not queued  # noqa: S101  - an engine that queues calls has an `End` of its own
    connection.commit()


class Work(Runner):
    """The statements of one transaction.

    The first error aborts the transaction, even if the caller catches it, as in PostgreSQL. `end` commits it.
    Queued statements wait for the next statement or the commit.
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
        # The database's time, as a statement last returned it.
        self.seen: datetime | None = None

    def rows(self, statement: Executable, values: Values) -> Sequence[AnyRow]:
        values = _unwrapped(values)
        plan = self._direct.plan(statement, values)
        if plan is None:
            with self.connection(operation_of(statement), statement) as connection:
                return connection.execute(statement, values).all()
        with self._call(operation_of(statement), statement) as connection:
            return self._direct.send(connection, [*self._dequeue(), Call(plan, values)], plan.rows)

    def change(self, statement: Executable, values: Values) -> int:
        values = _unwrapped(values)
        plan = self._direct.plan(statement, values)
        if plan is None:
            with self.connection(operation_of(statement), statement) as connection:
                return changed(connection.execute(statement, values))
        with self._call(operation_of(statement), statement) as connection:
            return self._direct.send(connection, [*self._dequeue(), Call(plan, values)], changed)

    def queue(self, statement: Executable, values: Values) -> None:
        """Make a change whose number of rows is not needed. If the engine can send statements together, it is sent
        with the next statement, in order, or with the commit; that call then raises its error.
        """
        values = _unwrapped(values)
        plan = self._direct.plan(statement, values) if self._direct.sends_together else None
        if plan is None:
            self.change(statement, values)
            return
        with self._call(operation_of(statement), None):
            self._queued.append(Call(plan, values))

    def begin(self, statement: Executable, values: dict[str, Any]) -> "BegunRows":
        """Start a query that is queued as by `queue`, so that it costs no round trip of its own. Its rows arrive with
        the answer to the next statement; reading them earlier sends the queue.
        """
        plan = self._direct.plan(statement, values) if self._direct.sends_together else None
        if plan is None:
            return BegunRows(self, self.rows(statement, values))
        begun = BegunRows(self)
        with self._call(operation_of(statement), None):
            self._queued.append(Call(plan, values, begun.answer))
        return begun

    def flush(self) -> None:
        """Send what is queued."""
        if calls := self._dequeue():
            with self._call("queued", None, trips=0) as connection:
                self._direct.send(connection, calls, changed)

    def require_sound(self) -> None:
        """Raise the error that the transaction has failed with, if any."""
        if self._failure is not None:
            raise self._failure

    def refused(self, error: E) -> E:
        """Abort the transaction with an error that the engine did not raise. Returns the error, to be raised."""
        self._failure = error
        return error

    def commit(self) -> None:
        with self._call("commit", None) as connection:
            self._end(connection, self._dequeue())
        self._open = False

    def close(self) -> None:
        """Roll back unless committed, and return the connection to its pool."""
        report = asked(STORE, "rollback") if self._open else contextlib.nullcontext()
        with report, self._guard():
            self._connection.close()

    def connection(
        self, operation: str = "load", statement: Executable | None = None
    ) -> AbstractContextManager[Connection]:
        """The connection, for statements that bypass this class. Sends the queue first."""
        self.flush()
        return self._call(operation, statement)

    def _call(self, operation: str, statement: Executable | None, trips: int = 1) -> "_Call":
        self.require_sound()
        # The first statement follows a BEGIN, which is a command of its own.
        first, self._open = not self._open, True
        slow = None if statement is None else of(statement, lambda: self._explained(statement))
        return _Call(self, self._connection, asked(STORE, operation, trips + first, slow), self._guard())

    def _dequeue(self) -> Sequence[Call]:
        taken, self._queued = self._queued, []
        return taken

    def _explained(self, statement: Executable) -> Explained:
        """Explain on another connection, since the transaction may have ended."""
        with self._guard(), self._connection.engine.connect() as connection:
            return explained(connection, statement)


class WorkBacked:
    """A part of the store that writes in the transaction of `work`."""

    def __init__(self, work: Work) -> None:
        self._work = work


class BegunRows:
    """The rows of a statement that is sent with the next one."""

    __slots__ = ("_rows", "_work")

    def __init__(self, work: Work, rows: Sequence[AnyRow] | None = None) -> None:
        self._work = work
        self._rows = rows

    def answer(self, rows: Sequence[AnyRow]) -> None:
        self._rows = rows

    def rows(self) -> Sequence[AnyRow]:
        """The rows; sends the queue if they have not arrived. Raises if the transaction has failed, in any case."""
        self._work.require_sound()
        if self._rows is None:
            self._work.flush()
        assert self._rows is not None  # noqa: S101  - `flush` has answered it, or raised
        return self._rows


class _Call:
    """Surrounds one call: measures it, and records its error in the `Work`. A generator would cost twice as much."""

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
    """Commit when the block ends, roll back when it raises. Errors of the block itself are not translated."""
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


def _unwrapped(values: Values) -> Values:
    """Unwrap a list of one row: for a list psycopg enters its pipeline mode, which costs more than one statement."""
    return values if isinstance(values, dict) or len(values) != 1 else values[0]
