"""Explains every statement of a `PostgresDatabase` right before it is sent, on the same connection."""

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
import pytest

from repositories.postgres.database import PostgresWork, native
from repositories.sql import Parameters

Plan = dict[str, Any]
Explained = tuple[str, Plan]


def explained(monkeypatch: pytest.MonkeyPatch) -> list[Explained]:
    """Return a list that is filled from now on with statements and their executed plans.

    For `executemany` only the first row is explained.
    """
    found: list[Explained] = []
    plain, plain_many = PostgresWork.execute, PostgresWork.executemany

    def explain(work: PostgresWork, sql: str, parameters: Parameters) -> None:
        with work._connection.transaction(force_rollback=True):
            asked = b"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + native(sql)
            row = work._connection.execute(asked, parameters, prepare=False).fetchone()
            assert row is not None
            found.append((sql, row[0][0]["Plan"]))

    def execute(work: PostgresWork, sql: str, parameters: Parameters = ()) -> psycopg.Cursor:
        explain(work, sql, parameters)
        return plain(work, sql, parameters)

    def executemany(work: PostgresWork, sql: str, rows: Iterable[Parameters]) -> None:
        every = list(rows)
        for one in every[:1]:
            explain(work, sql, one)
        plain_many(work, sql, every)

    monkeypatch.setattr(PostgresWork, "execute", execute)
    monkeypatch.setattr(PostgresWork, "executemany", executemany)
    return found


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def rows(node: Plan) -> int:
    """The number of rows that a node has read, including those that were filtered out."""
    removed = sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck", "Join Filter"))
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])
