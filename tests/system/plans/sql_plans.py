"""PostgreSQL's plan of a statement, and its faults.

Faults are: a full scan of a table with more than `FEW` rows, in storage order or by an index; and more than `MOST` rows
sorted or hashed. A table that is small here may be large elsewhere. So if the planner scans a table because it is
small, the statement is planned again without sequential scans, to show that an index serves it.

A prepared statement first has custom plans, and then a generic plan if that costs no more, as the server's
`choose_custom_plan` decides: a generic plan that it would not choose is not a fault.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import psycopg

from tests.system.plans.data import FEW, LOADED, SMALL, WHOLE
from tests.system.plans.recording import TEMPORARY, Statement

MOST = 5_000
# The server's estimate of the planning cost for each table. Each plan node counts as a table here, an upper bound.
PLANNING = 2.5
Plan = dict[str, Any]
_SCANS = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
_GATHERS = {"Sort", "Hash", "Materialize"}
_EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


class Fault(NamedTuple):
    statement: str
    values: Any
    what: str
    plan: Plan

    def __str__(self) -> str:
        return f"{self.what}\n{self.statement}\nwith {self.values}\n{json.dumps(self.plan, indent=1, default=str)}"


class Planner:
    """Explains statements in the database at `url`, with its present statistics."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("SET random_page_cost = 1.1")
        public = "relkind = 'r' AND relnamespace = to_regnamespace('public')"
        rows = f"SELECT relname, reltuples::bigint FROM pg_class WHERE {public}"  # noqa: S608  our own text
        self.rows: dict[str, int] = dict(self._connection.execute(rows.encode()).fetchall())
        self.sequences = self._connection.execute(b"SELECT sequencename FROM pg_sequences").fetchall()
        pending = "SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL"
        # Partial indexes, over pending rows only: the minimum that a count of pending rows can read.
        self._pending = {name for (name,) in self._connection.execute(pending)}

    def close(self) -> None:
        self._connection.close()

    def faults(self, statement: Statement) -> Iterator[Fault]:
        if not is_explained(statement.sql) or WHOLE.keys() & set(statement.methods):
            return
        for what, values, plan, few in self._plans(statement):
            yield from (Fault(statement.sql, values, f"{what}: {wrong}", plan) for wrong in self._wrong(plan, few))

    def _plans(self, statement: Statement) -> Iterator[tuple[str, Any, Plan, int]]:
        if TEMPORARY in statement.sql:
            yield from (("for the values", None, plan, LOADED) for plan in statement.plans)
            return
        dearest = 0.0
        for values in statement.values:
            plan = self._explained(statement.sql, values)
            dearest = max(dearest, plan["Total Cost"] + PLANNING * (1 + sum(1 for _ in nodes(plan))))
            yield "for the values", values, plan, FEW
        plan = self._explained(_numbered(statement.sql, statement.values[0]), None, "GENERIC_PLAN, ")
        if plan["Total Cost"] <= dearest:
            yield "for any values", None, plan, FEW
        yield from [("without a choice", values, self._forced(statement.sql, values), 0) for values in statement.values]

    def _forced(self, sql: str, values: Mapping[str, Any]) -> Plan:
        self._connection.execute("SET enable_seqscan = off")
        try:
            return self._explained(sql, values)
        finally:
            self._connection.execute("RESET enable_seqscan")

    def _explained(self, sql: str, values: Mapping[str, Any] | None, how: str = "") -> Plan:
        asked = f"EXPLAIN ({how}FORMAT JSON) {sql}".encode()
        row = self._connection.execute(asked, values, prepare=False).fetchone()
        assert row is not None
        plan: Plan = row[0][0]["Plan"]
        return plan

    def _wrong(self, plan: Plan, few: int) -> Iterator[str]:
        for node, bounded in nodes(plan):
            kind, table = node["Node Type"], node.get("Relation Name", "")
            is_large = self.rows.get(table, 0) > few and table not in SMALL
            if kind == "Seq Scan" and is_large:
                yield f"{table} is read whole"
            elif kind in _SCANS and "Index Cond" not in node and not bounded and is_large:
                if node["Index Name"] not in self._pending:
                    yield f"{table} is read whole by {node['Index Name']}"
            elif kind in _GATHERS and few:
                rows = max(part["Plan Rows"] for part in node["Plans"])
                if rows > max(few, MOST):
                    yield f"{kind} of {rows} rows"


def is_explained(sql: str) -> bool:
    return sql.lstrip("( ").startswith(_EXPLAINED)


def nodes(plan: Plan, *, bounded: bool = False) -> Iterator[tuple[Plan, bool]]:
    """Each node, and whether a LIMIT above ends it early, without a blocking node in between."""
    yield plan, bounded
    takes_all = plan["Node Type"] in {"Sort", "Hash", "Aggregate", "HashAggregate", "Materialize", "ModifyTable"}
    below = plan["Node Type"] == "Limit" or (bounded and not takes_all)
    for part in plan.get("Plans", []):
        yield from nodes(part, bounded=below)


def _numbered(sql: str, values: Mapping[str, Any]) -> str:
    """The statement in the form to prepare. Casts tell the server which parameters are bytes, as the driver does."""
    casts = {name: "::bytea" if isinstance(value, bytes | psycopg.Binary) else "" for name, value in values.items()}
    numbers = {name: f"${number}{casts[name]}" for number, name in enumerate(values, 1)}
    return re.sub(r"%\((\w+)\)s", lambda found: numbers[found[1]], sql).replace("%%", "%")
