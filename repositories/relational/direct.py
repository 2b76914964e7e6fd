"""Constant SELECTs, compiled once and sent by the driver itself.

SQLAlchemy compiles the statement and knows the types; its execution layer costs a multiple of the driver's call, so
reads go past it. What it would do for them is done here: a connection of its pool, parameters and columns by their
types, and connections that failed are not used again.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import CompoundSelect, Engine, Executable, Select
from sqlalchemy.exc import StatementError

Process = Callable[[Any], Any]
IsOutdated = Callable[[BaseException], bool]


class Sendable(NamedTuple):
    """`order` are the names of positional parameters; None where the driver takes them by name."""

    text: str
    given: Mapping[str, Any]
    order: tuple[str, ...] | None
    binds: Mapping[str, Process]
    columns: tuple[tuple[int, Process], ...]
    make: Callable[[Sequence[Any]], Any]

    def parameters(self, values: Mapping[str, Any]) -> Any:
        merged = {**self.given, **values}
        for name, process in self.binds.items():
            merged[name] = process(merged[name])
        return merged if self.order is None else tuple(merged[name] for name in self.order)

    def row(self, fetched: Sequence[Any]) -> Any:
        if self.columns:
            fetched = list(fetched)
            for at, process in self.columns:
                fetched[at] = process(fetched[at])
        return self.make(fetched)


class Direct:
    """`is_outdated` says of a driver's error that a prepared statement is older than the tables."""

    def __init__(self, engine: Engine, is_outdated: IsOutdated = lambda _: False) -> None:
        self._engine = engine
        self._is_outdated = is_outdated
        self._plans: dict[Executable, Sendable | None] = {}

    def plan(self, statement: Executable) -> Sendable | None:
        """None for what is no plain SELECT. Statements are constants, so there are few."""
        try:
            return self._plans[statement]
        except KeyError:
            plan = self._compiled(statement) if isinstance(statement, Select | CompoundSelect) else None
            return self._plans.setdefault(statement, plan)

    def rows(self, plan: Sendable, values: Mapping[str, Any]) -> list[Any]:
        try:
            parameters = plan.parameters(values)
        except ValueError as error:
            raise StatementError(str(error), plan.text, values, error) from error
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            # Whoever listens to the engine's statements hears of these too.
            for heard in self._engine.dispatch.before_cursor_execute:
                heard(None, cursor, plan.text, parameters, None, False)
            cursor.execute(plan.text, parameters)
            fetched = cursor.fetchall()
        except Exception as error:
            self._given_up(connection, error)
            raise
        finally:
            connection.close()
        return [plan.row(one) for one in fetched]

    def _given_up(self, connection: Any, error: Exception) -> None:
        dialect: Any = self._engine.dialect
        lost = isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(
            error, connection.driver_connection, None
        )
        if lost or self._is_outdated(error):
            # As SQLAlchemy does: this connection and all that were open by now.
            pool: Any = self._engine.pool
            pool._invalidate(connection, error)  # noqa: SLF001

    def _compiled(self, statement: Select[Any] | CompoundSelect[Any]) -> Sendable | None:
        dialect = self._engine.dialect
        compiled: Any = statement.compile(dialect=dialect)
        if compiled.post_compile_params or compiled.literal_execute_params:
            return None
        columns = compiled._result_columns  # noqa: SLF001
        found = (column.type._cached_result_processor(dialect, None) for column in columns)  # noqa: SLF001
        row: Any = namedtuple("row", [column.keyname for column in columns], rename=True)  # type: ignore[misc]  # noqa: PYI024
        return Sendable(
            str(compiled),
            dict(compiled.params),
            tuple(compiled.positiontup) if compiled.positional else None,
            dict(compiled._bind_processors),  # noqa: SLF001
            tuple((at, process) for at, process in enumerate(found) if process),
            row._make,
        )
