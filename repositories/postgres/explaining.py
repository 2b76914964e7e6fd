"""Plans of PostgreSQL's statements without their values."""

import re
from typing import Any

from psycopg.rows import tuple_row

from repositories.slow_statements import Explained

# The first version that plans a statement without values.
GENERIC = 160_000
# A mark of psycopg, by name or not, for text or binary; or a percent sign.
_MARK = re.compile(r"%\((\w+)\)[sbt]|%[sbt]|%%")


def explained_by_postgres(connection: Any, marked: str) -> Explained:
    """`marked` has psycopg's marks."""
    text = numbered(marked)
    if connection.info.server_version < GENERIC:
        return Explained(text, "no plan without values before PostgreSQL 16")
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(f"EXPLAIN (GENERIC_PLAN) {text}".encode(), prepare=False).fetchall()
    return Explained(text, "\n".join(line for (line,) in rows))


def numbered(marked: str) -> str:
    """With PostgreSQL's own marks: one for each name, or for each mark without one."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        return numbers.setdefault(found[1] or f"%{found.start()}", f"${len(numbers) + 1}")

    return _MARK.sub(number, marked)
