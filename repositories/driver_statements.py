"""Constant statements, compiled once by SQLAlchemy and sent directly through the driver.

SQLAlchemy's execution layer costs several times as much as the driver's own call, so statements bypass it. This module
does what is still needed: it converts parameters and columns by their types, and discards failed connections.
Statements that need more (lists expanded into the text, defaults computed in Python, `executemany` that returns rows)
are left to SQLAlchemy.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import CompoundSelect, Connection, Dialect, Engine, Executable, Select, UpdateBase
from sqlalchemy.exc import StatementError

# Statements are constants, so there are few. The limit protects memory from statements that are built for each call.
MOST_PLANS = 2000
# Execution option for statements that read thousands of rows: the driver's own tuples, without column names.
AS_THEY_COME = {"as_they_come": True}
R = TypeVar("R")
# `dict` instead of `Mapping`, because each call checks the type several times, and `isinstance` is slow for an ABC.
Values = dict[str, Any] | Sequence[dict[str, Any]]
Process = Callable[[Any], Any]
IsOutdated = Callable[[BaseException], bool]
Plans = dict[tuple[Executable, bool, tuple[str, ...]], "Sendable | None"]


class Sendable(NamedTuple):
    """A compiled statement, with converters for its parameters and columns.

    `order` has the names of positional parameters; None if the driver takes parameters by name.
    """

    text: str
    given: Mapping[str, Any]
    order: tuple[str, ...] | None
    binds: Mapping[str, Process]
    columns: tuple[tuple[int, Process], ...]
    make: Callable[[Sequence[Any]], Any] | None

    def parameters(self, values: Mapping[str, Any]) -> Any:
        merged = {**self.given, **values}
        for name, process in self.binds.items():
            merged[name] = process(merged[name])
        return merged if self.order is None else tuple(merged[name] for name in self.order)

    def rows(self, cursor: Any) -> list[Any]:
        make, columns, rows = self.make, self.columns, cursor.fetchall()
        if make is None:
            return rows  # type: ignore[no-any-return]  # of the driver
        if not columns:
            return [make(row) for row in rows]
        made = []
        for row in rows:
            values = list(row)
            for at, process in columns:
                values[at] = process(values[at])
            made.append(make(values))
        return made


class Call(NamedTuple):
    """A statement with the values of one row, or of several (`many`). `answer`, if set, is called with its rows."""

    plan: Sendable
    values: Values
    answer: Callable[[Sequence[Any]], None] | None = None

    @property
    def many(self) -> bool:
        return not isinstance(self.values, dict)

    def parameters(self) -> Any:
        """The parameters in the driver's form; for several rows a list of them."""
        if isinstance(self.values, dict):
            return _parameters(self.plan, self.values)
        return [_parameters(self.plan, one) for one in self.values]


class Direct:
    """Sends compiled statements through the driver.

    `is_outdated` tells whether an error of the driver makes its connection useless, as when a prepared statement is
    older than the tables.
    `sends_together`: sending several calls at once is cheaper than sending each alone.
    """

    sends_together = False

    def __init__(self, engine: Engine, is_outdated: IsOutdated = lambda _: False) -> None:
        self._engine = engine
        self._is_outdated = is_outdated
        self._plans: Plans = {}

    def plan(self, statement: Executable, values: Values) -> Sendable | None:
        """The compiled statement; None if SQLAlchemy has to send it. A write's text depends on its values' names."""
        if many := not isinstance(values, dict):
            values = values[0] if values else {}
        key = statement, many, tuple(values) if isinstance(statement, UpdateBase) else ()
        try:
            return self._plans[key]
        except KeyError:
            if len(self._plans) >= MOST_PLANS:
                return None
            return self._plans.setdefault(key, _compiled(DialectVersion.of(self._engine.dialect), *key))

    def rows(self, plan: Sendable, values: dict[str, Any]) -> list[Any]:
        """All rows of a statement, run on its own connection outside a transaction."""
        connection = self._engine.raw_connection()
        try:
            return self._send(connection, [Call(plan, values)], plan.rows)
        except Exception as error:
            drop_if_lost(self._engine, connection, error, self._is_outdated)
            raise
        finally:
            connection.close()

    def send(self, connection: Connection, calls: Sequence[Call], read: Callable[[Any], R]) -> R:
        """Run the calls in this connection's transaction. Returns `read` of the driver's cursor after the last one."""
        raw = connection.connection
        try:
            return self._send(raw, calls, read)
        except Exception as error:
            if drop_if_lost(self._engine, raw, error, self._is_outdated):
                connection.invalidate(error)
            raise

    def _send(self, connection: Any, calls: Sequence[Call], read: Callable[[Any], R]) -> R:
        cursor = connection.cursor()
        try:
            for call in calls:
                parameters = call.parameters()
                self._tell(cursor, call, parameters)
                (cursor.executemany if call.many else cursor.execute)(call.plan.text, parameters)
            return read(cursor)
        finally:
            cursor.close()

    def _tell(self, cursor: Any, call: Call, parameters: Any) -> None:
        """Notify the engine's `before_cursor_execute` listeners, as SQLAlchemy does for the statements it sends."""
        for heard in self._engine.dispatch.before_cursor_execute:
            heard(None, cursor, call.plan.text, parameters, None, call.many)


@dataclass(frozen=True)
class DialectVersion:
    """An SQL dialect and a server version. Equal ones compile a statement to the same text."""

    name: str
    version: tuple[Any, ...] | None
    dialect: Dialect = field(compare=False, repr=False)

    @classmethod
    def of(cls, dialect: Dialect) -> "DialectVersion":
        """The version is unknown (None) before the engine's first connection."""
        return cls(f"{dialect.name}+{dialect.driver}", dialect.server_version_info, dialect)


@lru_cache(maxsize=MOST_PLANS)
def _compiled(of: DialectVersion, statement: Executable, many: bool, names: tuple[str, ...]) -> Sendable | None:  # noqa: FBT001  a part of the key
    """Compile once for all pools of the process: readers, writers and standbys send the same statements."""
    if not isinstance(statement, Select | CompoundSelect | UpdateBase):
        return None
    dialect = of.dialect
    keys = sorted(names) if isinstance(statement, UpdateBase) else None
    compiled: Any = statement.compile(dialect=dialect, column_keys=keys)
    if compiled.post_compile_params or compiled.literal_execute_params or compiled.prefetch:
        return None
    columns = compiled._result_columns  # noqa: SLF001
    if many and columns:
        return None
    found = (column.type._cached_result_processor(dialect, None) for column in columns)  # noqa: SLF001
    processed = tuple((at, process) for at, process in enumerate(found) if process)
    as_they_come = statement.get_execution_options().get("as_they_come") and not processed
    row: Any = namedtuple("row", [column.keyname for column in columns], rename=True)  # type: ignore[misc]  # noqa: PYI024
    return Sendable(
        str(compiled),
        dict(compiled.params),
        tuple(compiled.positiontup) if compiled.positional else None,
        dict(compiled._bind_processors),  # noqa: SLF001
        processed,
        # What `row._make` does, without counting the columns of each row.
        None if as_they_come else partial(tuple.__new__, row),
    )


def drop_if_lost(engine: Engine, connection: Any, error: Exception, is_outdated: IsOutdated) -> bool:
    """Whether `error` means that this pooled connection failed. If so, it and all others open now are dropped.

    SQLAlchemy does the same for its own statements.
    """
    dialect: Any = engine.dialect
    lost = isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(
        error, connection.driver_connection, None
    )
    if not lost and not is_outdated(error):
        return False
    pool: Any = engine.pool
    pool._invalidate(connection, error)  # noqa: SLF001
    return True


def _parameters(plan: Sendable, values: Mapping[str, Any]) -> Any:
    try:
        return plan.parameters(values)
    except ValueError as error:
        raise StatementError(str(error), plan.text, values, error) from error
