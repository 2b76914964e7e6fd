"""Bulk loading by COPY."""

from collections.abc import Iterable, Sequence
from typing import Any, LiteralString

import psycopg


def copy(connection: psycopg.Connection[Any], statement: LiteralString, rows: Iterable[Sequence[Any]]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as into:
        for row in rows:
            into.write_row(row)
