"""SQL functions that PostgreSQL and SQLite write in different ways."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import BigInteger, LargeBinary
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from repositories.relational.schema.columns import TIME

F = TypeVar("F", bound=type[FunctionElement[Any]])
# Microseconds since 2020, and twelve bits of the server's process id, to set apart connections that write within the
# same microsecond. Lasts until 2091. The primary key refuses a duplicate, and the transaction is tried again.
_NUMBER_BY_TIME = (
    "((extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 1577836800000000) * 4096"
    " + mod(pg_backend_pid(), 4096)"
)


def written(**texts: str) -> Callable[[F], F]:
    """Registers how each dialect writes the function; `{0}` is its first argument."""

    def teach(function: F) -> F:
        for dialect, text in texts.items():
            compiles(function, dialect)(partial(_written, text))
        return function

    return teach


def _written(text: str, element: FunctionElement[Any], compiler: SQLCompiler, **kw: Any) -> str:
    return text.format(*(compiler.process(clause, **kw) for clause in element.clauses))


@written(
    postgresql="{0} = ANY ({1})",
    sqlite="{0} IN (WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT length({1}) / 16)"
    " SELECT substr({1}, i * 16 + 1, 16) FROM n)",
)
class among(FunctionElement[bool]):  # noqa: N801  - written like the functions of SQLAlchemy beside it
    """Whether a column is in a list of ids. The list is one parameter, whatever its length."""

    inherit_cache = True
    name = "among"


@written(postgresql="{0} = ANY (ARRAY{1})", sqlite="{0} IN {1}")
class one_of(FunctionElement[bool]):  # noqa: N801  - as above
    """Whether a column is one of the few values of a subquery. Planned as one index lookup per value."""

    inherit_cache = True
    name = "one_of"


@written(postgresql="sha256({0} || {1})", sqlite="chained({0}, {1})")
class chained(FunctionElement[bytes]):  # noqa: N801  - as above
    """SHA-256 of two concatenated byte strings. `embedded/engine.py` defines the function for SQLite."""

    inherit_cache = True
    name = "chained"
    type = LargeBinary()


@written(postgresql="clock_timestamp()", sqlite="database_time()")
class database_time(FunctionElement[datetime]):  # noqa: N801  - as above
    """The database's time at this moment, also within a transaction. `embedded/engine.py` defines it for SQLite."""

    inherit_cache = True
    name = "database_time"
    type = TIME


@written(postgresql=f"({_NUMBER_BY_TIME})")
class numbered_by_time(FunctionElement[int]):  # noqa: N801  - as above
    """A unique number for a row, greater than those made earlier. SQLite numbers rows by itself."""

    inherit_cache = True
    name = "numbered_by_time"
    type = BigInteger()


@written(postgresql="{0} + {1} * interval '1 microsecond'", sqlite="{0} + {1}")
class later(FunctionElement[datetime]):  # noqa: N801  - as above
    """A time and a number of microseconds after it."""

    inherit_cache = True
    name = "later"
    type = TIME


@written(postgresql="set_config('lock_timeout', '20', true) IS NOT NULL", sqlite="1")
class wait_briefly(FunctionElement[bool]):  # noqa: N801  - as above
    """True. From here on a wait for another transaction's row fails after 20 ms. SQLite has one writer: no effect."""

    inherit_cache = True
    name = "wait_briefly"


@written(postgresql="set_config('lock_timeout', {0}, true)", sqlite="{0}")
class wait_usually(FunctionElement[str]):  # noqa: N801  - as above
    """Ends `wait_briefly`: sets the lock timeout to this number of milliseconds, given as text."""

    inherit_cache = True
    name = "wait_usually"
