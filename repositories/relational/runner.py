"""How the shared SQL reaches an engine: one statement at a time, with the driver's errors translated."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, Row

from repositories.errors import StoreError

E = TypeVar("E", bound=StoreError)
Guard = Callable[[], AbstractContextManager[None]]
AnyRow = Row[*tuple[Any, ...]]
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Runner(Protocol):
    def rows(self, statement: Executable, values: Values) -> Sequence[AnyRow]:
        """All rows that the statement returns."""

    def change(self, statement: Executable, values: Values) -> int:
        """How many rows the statement changed."""


class AutocommitRunner(Runner):
    """Each statement for itself. `guard` surrounds the check-out of a connection and the statement."""

    def __init__(self, engine: Engine, guard: Guard) -> None:
        self._engine = engine
        self._guard = guard

    def rows(self, statement: Executable, values: Values) -> Sequence[AnyRow]:
        with self._guard(), self._engine.connect() as connection:
            return connection.execute(statement, values).all()

    def change(self, statement: Executable, values: Values) -> int:
        with self._guard(), self._engine.connect() as connection:
            return _changed(connection.execute(statement, values))


class Work(Runner):
    """The statements of one transaction.

    The first error ends the transaction, also when the caller swallows it: what PostgreSQL does with its own.
    """

    def __init__(self, connection: Connection, guard: Guard) -> None:
        self._connection = connection
        self._guard = guard
        self._failure: StoreError | None = None

    def rows(self, statement: Executable, values: Values) -> Sequence[AnyRow]:
        with self.connection() as connection:
            return connection.execute(statement, values).all()

    def change(self, statement: Executable, values: Values) -> int:
        with self.connection() as connection:
            return _changed(connection.execute(statement, values))

    def refused(self, error: E) -> E:
        """End the transaction by an error that the engine did not raise itself, and hand it back to be raised."""
        self._failure = error
        return error

    def commit(self) -> None:
        with self.connection() as connection:
            connection.commit()

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        if self._failure is not None:
            raise self._failure
        try:
            with self._guard():
                yield self._connection
        except StoreError as error:
            self._failure = error
            raise


@contextlib.contextmanager
def transaction(engine: Engine, guard: Guard) -> Iterator[Work]:
    """Commits when the block ends. Only the engine's part is translated: the block may raise what it likes."""
    with guard():
        connection = engine.connect()
    try:
        with guard():
            connection.begin()
        work = Work(connection, guard)
        yield work
        work.commit()
    finally:
        with guard():
            connection.close()


def _changed(result: CursorResult[*tuple[Any, ...]]) -> int:
    return result.rowcount
