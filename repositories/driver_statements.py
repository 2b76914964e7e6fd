"""Constant statements, compiled once and sent by the driver itself.

SQLAlchemy compiles the statement and knows the types; its execution layer costs a multiple of the driver's call, so
statements go past it. What it would do for them is done here: parameters and columns by their types, and connections
that failed are not used again. What needs more of it (lists inside the text, defaults made by Python, rows that many
values return) is left to it.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import CompoundSelect, Connection, Dialect, Engine, Executable, Select, UpdateBase
from sqlalchemy.exc import StatementError

# Statements are constants, so there are few. One that is made anew for each call would have a plan for each.
MOST_PLANS = 2000
# An option of statements whose rows are read by the thousand: as the driver gives them, with no names.
AS_THEY_COME = {"as_they_come": True}
R = TypeVar("R")
# A dict is cheap to distinguish from a list, and any other mapping is not: each statement looks several times.
Values = dict[str, Any] | Sequence[dict[str, Any]]
Process = Callable[[Any], Any]
IsOutdated = Callable[[BaseException], bool]
Plans = dict[tuple[Executable, bool, tuple[str, ...]], "Sendable | None"]


class Sendable(NamedTuple):
    """`order` are the names of positional parameters; None where the driver takes them by name."""

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
    """A statement with its values: those of one row, or of `many`. `answer` is given its rows, where somebody waits."""

    plan: Sendable
    values: Values
    answer: Callable[[Sequence[Any]], None] | None = None

    @property
    def many(self) -> bool:
        return not isinstance(self.values, dict)

    def parameters(self) -> Any:
        """Of the driver; a list of them for many rows."""
        if isinstance(self.values, dict):
            return _parameters(self.plan, self.values)
        return [_parameters(self.plan, one) for one in self.values]


class Direct:
    """`is_outdated` says of a driver's error that a prepared statement is older than the tables.

    `sends_together`: several calls cost it less than each alone.
    """

    sends_together = False

    def __init__(self, engine: Engine, is_outdated: IsOutdated = lambda _: False) -> None:
        self._engine = engine
        self._is_outdated = is_outdated
        self._plans: Plans = {}

    def plan(self, statement: Executable, values: Values) -> Sendable | None:
        """None for what SQLAlchemy has to send. The text of a write depends on the names of its values."""
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
        """All rows of a statement on a connection of its own, outside of a transaction."""
        connection = self._engine.raw_connection()
        try:
            return self._send(connection, [Call(plan, values)], plan.rows)
        except Exception as error:
            drop_if_lost(self._engine, connection, error, self._is_outdated)
            raise
        finally:
            connection.close()

    def send(self, connection: Connection, calls: Sequence[Call], read: Callable[[Any], R]) -> R:
        """What `read` makes of the driver's cursor after the last call, in the transaction of this connection."""
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
        """Whoever listens to the engine's statements hears of these too."""
        for heard in self._engine.dispatch.before_cursor_execute:
            heard(None, cursor, call.plan.text, parameters, None, call.many)


@dataclass(frozen=True)
class DialectVersion:
    """A dialect of SQL at a version of the server: two that are equal make the same of a statement."""

    name: str
    version: tuple[Any, ...] | None
    dialect: Dialect = field(compare=False, repr=False)

    @classmethod
    def of(cls, dialect: Dialect) -> "DialectVersion":
        """The version is not known before an engine's first connection."""
        return cls(f"{dialect.name}+{dialect.driver}", dialect.server_version_info, dialect)


@lru_cache(maxsize=MOST_PLANS)
def _compiled(of: DialectVersion, statement: Executable, many: bool, names: tuple[str, ...]) -> Sendable | None:  # noqa: FBT001  a part of the key
    """Compiled once for all pools of the process: those of readers, writers and standbys send the same constants."""
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
    """Whether this pooled connection failed. As SQLAlchemy does, drop it then, and all that were open by now."""
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
