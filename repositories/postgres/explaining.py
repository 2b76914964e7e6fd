"""Plans of statements on PostgreSQL, without their values."""

import re
from typing import Any

from psycopg.rows import tuple_row

from repositories.slow_statements import Explained

# The first version that plans a statement without values.
GENERIC = 160_000
# A placeholder of psycopg, named or not, for text or binary; or an escaped percent sign.
_MARK = re.compile(r"%\((\w+)\)[sbt]|%[sbt]|%%")


def explained_by_postgres(connection: Any, marked: str) -> Explained:
    """`marked` is a statement with psycopg's placeholders."""
    text = numbered(marked)
    if connection.info.server_version < GENERIC:
        return Explained(text, "no plan without values before PostgreSQL 16")
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(f"EXPLAIN (GENERIC_PLAN) {text}".encode(), prepare=False).fetchall()
    return Explained(text, "\n".join(line for (line,) in rows))


def numbered(marked: str) -> str:
    """The statement with PostgreSQL's own placeholders: one for each name, and for each placeholder without a name."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        return numbers.setdefault(found[1] or f"%{found.start()}", f"${len(numbers) + 1}")

    return _MARK.sub(number, marked)
