"""Runs the shared SQL on an engine, one statement at a time, and translates the driver's errors."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, CursorResult, Executable, Row, Select, UpdateBase

from repositories.driver_statements import Direct, Values
from repositories.explaining import explained
from repositories.meter import asked
from repositories.slow_statements import Explained, of
from repositories.translation import Undone

R = TypeVar("R")
Guard = Callable[[], AbstractContextManager[None]]
AnyRow = Row[*tuple[Any, ...]]
STORE = "relational"
ATTEMPTS = 4


class Runner(Protocol):
    def rows(self, statement: Executable, values: Values) -> Sequence[AnyRow]:
        """All rows that the statement returns."""

    def change(self, statement: Executable, values: Values) -> int:
        """How many rows the statement changed."""


# Opens a runner that reads the store as of one moment.
Snapshot = Callable[[], AbstractContextManager[Runner]]


class RunnerBacked:
    """A part of the store whose statements run on `runner`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner


class AutocommitRunner(Runner):
    """Runs each statement on its own. `guard` surrounds the check-out of a connection and the statement.

    `open_` is the engine's `connect`, or its `begin` where each statement must be a transaction; `direct` sends the
    statements that it supports instead. A statement that raises `Undone` is sent up to `ATTEMPTS` times in all. `store`
    is the name in monitoring.
    """

    def __init__(
        self,
        open_: Callable[[], AbstractContextManager[Connection]],
        guard: Guard,
        direct: Direct | None = None,
        store: str = STORE,
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
        return self._run(statement, lambda: self._attempt(statement, values, changed))

    def _run(self, statement: Executable, attempt: Callable[[], R]) -> R:
        with asked(self._store, operation_of(statement), 1, of(statement, lambda: self._explained(statement))):
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


def changed(result: Any) -> int:
    """The number of changed rows, of SQLAlchemy's result or of the driver's cursor."""
    return int(result.rowcount)


@functools.lru_cache(maxsize=1024)
def operation_of(statement: Executable) -> str:
    """The statement's name in monitoring, such as `select posts`. Statements are constants, so names are cached."""
    verb = getattr(statement, "__visit_name__", "statement")
    if isinstance(statement, UpdateBase):
        return f"{verb} {getattr(statement.table, 'name', '')}".rstrip()
    sources = statement.columns_clause_froms if isinstance(statement, Select) else ()
    return f"{verb} {getattr(sources[0], 'name', '')}".rstrip() if sources else verb
