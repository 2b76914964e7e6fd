"""Column types that hold the same values, in the same order, on PostgreSQL and on SQLite."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Text,
    TextClause,
    Uuid,
    bindparam,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator
from sqlalchemy.util import PopulateDict

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Since 1970."""
    return (at - _EPOCH) // _MICROSECOND


class _IdBytes(TypeDecorator[UUID]):
    """16 bytes, which SQLite orders as PostgreSQL orders a uuid."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: UUID | None, _dialect: Dialect) -> bytes | None:
        return None if value is None else value.bytes

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[bytes | None], UUID | None]:
        """Made by msgspec, which takes a third of the time that `UUID` takes for it."""
        return lambda value: None if value is None else msgspec.convert(value, UUID)


class _IdList(TypeDecorator[Collection[UUID]]):
    """A list of ids as one byte string of 16 bytes each, for `among`."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Collection[UUID] | None, _dialect: Dialect) -> bytes:
        return b"".join(one.bytes for one in value or ())


class _IdArray(TypeDecorator[Collection[UUID]]):
    """A uuid[] that is sent as text: psycopg takes ten times as long to write a list of UUIDs."""

    impl = ARRAY(Uuid())
    cache_ok = True

    def bind_processor(self, _dialect: Dialect) -> Callable[[Collection[UUID] | None], str]:
        return lambda value: f"{{{','.join(map(str, value or ()))}}}"


class _Micros(TypeDecorator[datetime]):
    """Microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> int | None:
        return None if value is None else micros(value)

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[int | None], datetime | None]:
        return lambda value: None if value is None else _EPOCH + timedelta(0, 0, value)


class _TextWithoutNul(TypeDecorator[str]):
    """Refuses NUL, as PostgreSQL does; SQLite would accept it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        if value is not None and "\0" in value:
            raise ValueError("text holds a NUL")
        return value


class _Limit(TypeDecorator[int]):
    """Refuses a negative LIMIT, as PostgreSQL does; SQLite would read it as no limit."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, _dialect: Dialect) -> int | None:
        if value is not None and value < 0:
            raise ValueError("a limit below 0")
        return value


ID = Uuid().with_variant(_IdBytes(), "sqlite")
IDS = _IdArray().with_variant(_IdList(), "sqlite")
TIME = DateTime(timezone=True).with_variant(_Micros(), "sqlite")
TEXT = Text().with_variant(_TextWithoutNul(), "sqlite")
LIMIT = bindparam("limit", type_=BigInteger().with_variant(_Limit(), "sqlite"))
SERIAL = BigInteger().with_variant(Integer(), "sqlite")


def partial_index(
    name: str, *columns: Column[Any], where: ColumnElement[bool] | TextClause, unique: bool = False
) -> Index:
    """An index over the rows that fulfil `where`, on either engine.

    A dialect is given it when it asks: to name one here would import it, with all drivers that SQLAlchemy knows for it.
    """
    index = Index(name, *columns, unique=unique)
    options = index.dialect_options

    def with_condition(dialect: str) -> Any:
        options[dialect]["where"] = where
        return options[dialect]

    index.dialect_options = PopulateDict(with_condition)
    return index


class among(FunctionElement[bool]):  # noqa: N801  - written like the functions of SQLAlchemy beside it
    """Whether a column is one of the ids of a list that is one parameter, whatever its length."""

    inherit_cache = True
    name = "among"


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, ids = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY ({ids})"


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, ids = (compiler.process(clause, **kw) for clause in element.clauses)
    return (
        f"{column} IN (WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT length({ids}) / 16)"  # noqa: S608  - compiled clauses
        f" SELECT substr({ids}, i * 16 + 1, 16) FROM n)"
    )


class one_of(FunctionElement[bool]):  # noqa: N801  - as above
    """Whether a column is one of the few values of a subquery. Planned as one index lookup per value."""

    inherit_cache = True
    name = "one_of"


@compiles(one_of, "postgresql")
def _one_of_postgresql(element: one_of, compiler: SQLCompiler, **kw: Any) -> str:
    column, subquery = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY (ARRAY{subquery})"


@compiles(one_of, "sqlite")
def _one_of_sqlite(element: one_of, compiler: SQLCompiler, **kw: Any) -> str:
    column, subquery = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN {subquery}"


class chained(FunctionElement[bytes]):  # noqa: N801  - as above
    """SHA-256 of two concatenated byte strings. `embedded/engine.py` defines the function for SQLite."""

    inherit_cache = True
    name = "chained"
    type = LargeBinary()


@compiles(chained, "postgresql")
def _chained_postgresql(element: chained, compiler: SQLCompiler, **kw: Any) -> str:
    first, second = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"sha256({first} || {second})"


@compiles(chained, "sqlite")
def _chained_sqlite(element: chained, compiler: SQLCompiler, **kw: Any) -> str:
    return f"chained({compiler.process(element.clauses, **kw)})"


class database_time(FunctionElement[datetime]):  # noqa: N801  - as above
    """The database's time at this moment, also within a transaction. `embedded/engine.py` defines it for SQLite."""

    inherit_cache = True
    name = "database_time"
    type = TIME


@compiles(database_time, "postgresql")
def _database_time_postgresql(_element: database_time, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "clock_timestamp()"


@compiles(database_time, "sqlite")
def _database_time_sqlite(_element: database_time, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "database_time()"


# Microseconds since 2020, and twelve bits that set connections apart which write within the same one: lasts until 2091.
# The number of PostgreSQL's process; what is the same nevertheless is refused by the primary key, and tried again.
_NUMBER_BY_TIME = (
    "((extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 1577836800000000) * 4096"
    " + mod(pg_backend_pid(), 4096)"
)


class numbered_by_time(FunctionElement[int]):  # noqa: N801  - as above
    """A number that no other row has, and that is greater than those of before. SQLite numbers rows by itself."""

    inherit_cache = True
    name = "numbered_by_time"
    type = BigInteger()


@compiles(numbered_by_time, "postgresql")
def _numbered_by_time_postgresql(_element: numbered_by_time, _compiler: SQLCompiler, **_kw: Any) -> str:
    return f"({_NUMBER_BY_TIME})"


class later(FunctionElement[datetime]):  # noqa: N801  - as above
    """A time and a number of microseconds after it."""

    inherit_cache = True
    name = "later"
    type = TIME


@compiles(later, "postgresql")
def _later_postgresql(element: later, compiler: SQLCompiler, **kw: Any) -> str:
    time, micros = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{time} + {micros} * interval '1 microsecond'"


@compiles(later, "sqlite")
def _later_sqlite(element: later, compiler: SQLCompiler, **kw: Any) -> str:
    time, micros = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{time} + {micros}"


class wait_briefly(FunctionElement[bool]):  # noqa: N801  - as above
    """True. Whatever waits for somebody else's row from here on fails after 20 ms. SQLite has one writer: no effect."""

    inherit_cache = True
    name = "wait_briefly"


@compiles(wait_briefly, "postgresql")
def _wait_briefly_postgresql(_element: wait_briefly, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "set_config('lock_timeout', '20', true) IS NOT NULL"


@compiles(wait_briefly, "sqlite")
def _wait_briefly_sqlite(_element: wait_briefly, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "1"


class wait_usually(FunctionElement[str]):  # noqa: N801  - as above
    """The end of `wait_briefly`: rows are waited for so many milliseconds, a text, again."""

    inherit_cache = True
    name = "wait_usually"


@compiles(wait_usually, "postgresql")
def _wait_usually_postgresql(element: wait_usually, compiler: SQLCompiler, **kw: Any) -> str:
    return f"set_config('lock_timeout', {compiler.process(element.clauses, **kw)}, true)"


@compiles(wait_usually, "sqlite")
def _wait_usually_sqlite(element: wait_usually, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)
