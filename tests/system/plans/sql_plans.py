"""What PostgreSQL plans for a statement, and what is wrong with it.

Wrong is: a table with more than `FEW` rows read from one end to the other, in storage order or by an index; and more
rows than `MOST` sorted or hashed. A table that is small here may be large elsewhere: what the planner reads whole for
its smallness has to have an index that serves, so it is asked again without the choice of reading whole.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, LiteralString, NamedTuple, cast

import psycopg

from tests.system.plans.data import FEW, SMALL
from tests.system.plans.recording import TEMPORARY, Statement

MOST = 5_000
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
    """`url` is that of the database; its statistics are as they are."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self.rows = dict(self._connection.execute("SELECT relname, reltuples::bigint FROM pg_class WHERE relkind = 'r'"))
        pending = "SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL"
        # Indexes over what waits, and no more: the least that whoever asks how much waits can read.
        self._pending = {name for (name,) in self._connection.execute(pending)}

    def close(self) -> None:
        self._connection.close()

    def faults(self, statement: Statement) -> Iterator[Fault]:
        if not is_explained(statement.sql):
            return
        for what, values, plan, small in self._plans(statement):
            yield from (Fault(statement.sql, values, f"{what}: {wrong}", plan) for wrong in self._wrong(plan, small=small))

    def _plans(self, statement: Statement) -> Iterator[tuple[str, Any, Plan, bool]]:
        if TEMPORARY in statement.sql:
            yield from (("for the values", None, plan, False) for plan in statement.plans)
            return
        for values in statement.values:
            yield "for the values", values, self._explained(statement.sql, values), False
        generic = _numbered(statement.sql, statement.values[0])
        yield "for any values", None, self._explained(generic, None, "GENERIC_PLAN, "), False
        self._connection.execute("SET enable_seqscan = off")
        try:
            yield "without a choice", None, self._explained(generic, None, "GENERIC_PLAN, "), True
        finally:
            self._connection.execute("RESET enable_seqscan")

    def _explained(self, sql: str, values: Mapping[str, Any] | None, how: str = "") -> Plan:
        asked = cast("LiteralString", f"EXPLAIN ({how}FORMAT JSON) {sql}")
        row = self._connection.execute(asked, values).fetchone()
        assert row is not None
        plan: Plan = row[0][0]["Plan"]
        return plan

    def _wrong(self, plan: Plan, *, small: bool) -> Iterator[str]:
        for node, bounded in nodes(plan):
            kind, table = node["Node Type"], node.get("Relation Name", "")
            is_large = small or self.rows.get(table, 0) > FEW
            if kind == "Seq Scan" and is_large and table not in SMALL and not table.startswith(TEMPORARY):
                yield f"{table} is read whole"
            elif kind in _SCANS and "Index Cond" not in node and not bounded and self._is_large(node, small=small):
                yield f"{table} is read whole by {node['Index Name']}"
            elif kind in _GATHERS and not small:
                rows = max(part["Plan Rows"] for part in node["Plans"])
                if rows > MOST:
                    yield f"{kind} of {rows} rows"

    def _is_large(self, node: Plan, *, small: bool) -> bool:
        table = node.get("Relation Name", "")
        if node["Index Name"] in self._pending or table in SMALL:
            return False
        return small or self.rows.get(table, 0) > FEW


def is_explained(sql: str) -> bool:
    return sql.lstrip("( ").startswith(_EXPLAINED)


def nodes(plan: Plan, *, bounded: bool = False) -> Iterator[tuple[Plan, bool]]:
    """Each node, and whether a LIMIT ends it early: one above it, with nothing between that first takes in all."""
    yield plan, bounded
    takes_all = plan["Node Type"] in {"Sort", "Hash", "Aggregate", "HashAggregate", "Materialize", "ModifyTable"}
    below = plan["Node Type"] == "Limit" or (bounded and not takes_all)
    for part in plan.get("Plans", []):
        yield from nodes(part, bounded=below)


def _numbered(sql: str, values: Mapping[str, Any]) -> str:
    """The statement as it is prepared."""
    numbers = {name: f"${number}" for number, name in enumerate(values, 1)}
    return re.sub(r"%\((\w+)\)s", lambda found: numbers[found[1]], sql).replace("%%", "%")
