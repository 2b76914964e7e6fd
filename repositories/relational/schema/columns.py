"""Column types that hold the same values, in the same order, on PostgreSQL and on SQLite."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Integer, LargeBinary, Text, Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _IdBytes(TypeDecorator[UUID]):
    """16 bytes, which SQLite orders as PostgreSQL orders a uuid."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: UUID | None, _dialect: Dialect) -> bytes | None:
        return None if value is None else value.bytes

    def process_result_value(self, value: bytes | None, _dialect: Dialect) -> UUID | None:
        return None if value is None else UUID(bytes=value)


class _IdList(TypeDecorator[Collection[UUID]]):
    """Many ids behind one another, for `among`."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Collection[UUID] | None, _dialect: Dialect) -> bytes:
        return b"".join(one.bytes for one in value or ())


class _Micros(TypeDecorator[datetime]):
    """Microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + value * _MICROSECOND


class _TextWithoutNul(TypeDecorator[str]):
    """SQLite would take the NUL that PostgreSQL refuses."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        if value is not None and "\0" in value:
            raise ValueError("text holds a NUL")
        return value


class _Limit(TypeDecorator[int]):
    """SQLite would take a negative LIMIT for none."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, _dialect: Dialect) -> int | None:
        if value is not None and value < 0:
            raise ValueError("a limit below 0")
        return value


ID = Uuid().with_variant(_IdBytes(), "sqlite")
IDS = ARRAY(Uuid()).with_variant(_IdList(), "sqlite")
TIME = DateTime(timezone=True).with_variant(_Micros(), "sqlite")
TEXT = Text().with_variant(_TextWithoutNul(), "sqlite")
LIMIT = bindparam("limit", type_=BigInteger().with_variant(_Limit(), "sqlite"))
SERIAL = BigInteger().with_variant(Integer(), "sqlite")


class among(FunctionElement[bool]):  # noqa: N801  - written like the functions of SQLAlchemy beside it
    """Whether a column is one of the ids in one parameter, however many these are."""

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
    """Whether a column is among the few values of a subquery, looked up one by one in the column's index."""

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
    """SHA-256 of the bytes of two columns or parameters behind one another. `embedded` gives SQLite the function."""

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


class has_turn(FunctionElement[bool]):  # noqa: N801  - as above
    """Whether this transaction is the only open one that asked with this text. Never waits; SQLite has one writer."""

    inherit_cache = True
    name = "has_turn"


@compiles(has_turn, "postgresql")
def _has_turn_postgresql(element: has_turn, compiler: SQLCompiler, **kw: Any) -> str:
    return f"pg_try_advisory_xact_lock(hashtextextended({compiler.process(element.clauses, **kw)}, 1))"


@compiles(has_turn, "sqlite")
def _has_turn_sqlite(element: has_turn, compiler: SQLCompiler, **kw: Any) -> str:
    return f"{compiler.process(element.clauses, **kw)} IS NOT NULL"
