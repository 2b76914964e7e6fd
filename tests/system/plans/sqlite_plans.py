"""SQLite's plans of the embedded adapters' statements. It has no statistics, so any data suffices.

A fault is the full scan of a table, unless a LIMIT ends it and nothing is sorted first: then the table is read in the
order of its key.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from repositories.relational.money.digests import chain
from repositories.sqlite.file import set_up
from tests.system.plans.recording import TEMPORARY

_VALUE = re.compile(r"x'[0-9a-f]*'|'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b", re.IGNORECASE)
_ASKS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "REPLACE")
# Tables that only contain work under way, or whose number of rows is bounded, which is why they are counted.
SHORT = {"pulled_authors", "hot_view_batch", "hot_limits"}


class TracedStatements:
    """Records one statement of each shape, including its values."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        def traced(connection: sqlite3.Connection) -> None:
            set_up(connection)
            connection.set_trace_callback(self._record)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("repositories.sqlite.database.set_up", traced)
            patch.setattr("repositories.relational.embedded.engine.set_up", traced)
            yield

    def _record(self, sql: str) -> None:
        if sql.lstrip(" \n(").upper().startswith(_ASKS) and TEMPORARY not in sql and "sqlite_master" not in sql:
            self.kept.setdefault(_VALUE.sub("?", sql), sql)


# Intended full scans: voiding the cache, which the breaker does after an outage, on a busy machine also in a test.
WHOLE = {"DELETE FROM hot_values"}


def faults(path: Path, statements: list[str]) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as connection:
        connection.create_function("chained", 2, chain, deterministic=True)
        connection.create_function("database_time", 0, lambda: 0)
        connection.create_function("now_seconds", 0, lambda: 0)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for sql in (one for one in statements if one not in WHOLE):
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
            ends = "LIMIT" in sql and not any("TEMP B-TREE" in step for step in plan)
            for step in plan if not ends else ():
                found = re.match(r"SCAN (\w+)(.*)", step)
                if found and "INDEX" not in found[2] and _table(found[1], sql) in tables - SHORT:
                    yield "\n".join([f"{found[1]} is read whole", sql[:2000], *plan])


def _table(name: str, sql: str) -> str:
    found = re.search(rf"(\w+) (?:AS )?{name}\b", sql)
    return found[1] if found and found[1].upper() not in {"FROM", "JOIN", "INTO", "UPDATE", "TABLE"} else name
