"""Whose rows each transaction of the application writes, by the distribution columns in docs/distribution.toml, and
which locks it holds while it writes an event.

Triggers note each row that is written. The function that began the transaction is found on the stack: the outermost
function of a service, or of another part of the application if there is none.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Engine, PrimaryKeyConstraint, Table, UniqueConstraint, event

from repositories.relational.schema.tables import metadata
from tests.system.plans.shards import DECLARED

TABLES: dict[str, Mapping[str, str]] = DECLARED["tables"]
# By kind of event the table and its column with the aggregate's id. Empty if no other event has the same aggregate.
ORDER: dict[str, str] = DECLARED["order"]
# In a schema of their own, so that no plan involves these tables.
_NOTES = """
CREATE SCHEMA spread;
CREATE UNLOGGED TABLE spread.notes (transaction xid8, kind text, value text);
CREATE FUNCTION spread.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO spread.notes
    SELECT pg_current_xact_id(), TG_ARGV[1], to_jsonb(coalesce(NEW, OLD)) ->> TG_ARGV[0];
    RETURN NULL;
END $$
"""
_TRIGGER = """CREATE TRIGGER spread AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION spread.note({key}, {kind})"""
_ROOTS = ("app/services/", "app/doctor/", "app/worker/", "app/seed/", "app/")
_MACHINERY = "app/services/commands/"
Spread = dict[str, list[dict[str, set[str]]]]


class Transactions:
    """The function that began each transaction; and by kind of event, whether the row that orders it was locked."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._begun_by: dict[str, str] = {}
        self.ordered: dict[str, set[tuple[str, str]]] = defaultdict(set)

    @contextmanager
    def listening(self) -> Iterator[None]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(_NOTES)
            for table, one in TABLES.items():
                names = {"table": psycopg.sql.Identifier(table), "key": one["key"], "kind": one["of"]}
                connection.execute(psycopg.sql.SQL(_TRIGGER).format(**names))
        event.listen(Engine, "before_cursor_execute", self._record)
        try:
            yield
        finally:
            event.remove(Engine, "before_cursor_execute", self._record)

    def spread(self) -> Spread:
        """By function, for each of its transactions: the owners of the written rows, by kind of owner."""
        found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        with psycopg.connect(self._url) as connection:
            for transaction, kind, value in connection.execute(
                "SELECT transaction::text, kind, value FROM spread.notes"
            ):
                found[transaction][kind].add(value)
        by: Spread = defaultdict(list)
        for transaction, written in found.items():
            if transaction in self._begun_by:
                by[self._begun_by[transaction]].append(dict(written))
        return by

    def _record(self, _connection: object, cursor: Any, sql: str, values: Any, *_: object) -> None:
        if cursor.connection.autocommit or sql.startswith("SET"):
            return
        with cursor.connection.cursor() as own:
            (transaction,) = own.execute("SELECT pg_current_xact_id()::text").fetchone()
            who = self._begun_by.setdefault(transaction, _caller(sys._getframe(1)))
            if sql.startswith("INSERT INTO outbox"):
                for one in values if isinstance(values, list) else [values]:
                    self.ordered[one["type"]].add((self._held(own, one["type"], one["aggregate"]), who))

    def _held(self, own: psycopg.Cursor[Any], kind: str, aggregate: str) -> str:
        """The state of the row that orders the event: `held` by the transaction of `own`, `free` for others, or `gone`.
        `no row` if the event needs none, `undeclared` if the kind is unknown.
        """
        if not ORDER.get(kind):
            return "undeclared" if kind not in ORDER else "no row"
        table, column = ORDER[kind].rstrip(")").split("(")
        row = psycopg.sql.SQL("SELECT FROM {} WHERE {} = %s").format(*map(psycopg.sql.Identifier, (table, column)))
        if not own.execute(row, [UUID(aggregate)]).rowcount:
            return "gone"
        with psycopg.connect(self._url, autocommit=True) as other:
            free = other.execute(row + psycopg.sql.SQL(" FOR NO KEY UPDATE SKIP LOCKED"), [UUID(aggregate)]).rowcount
        return "free" if free else "held"


def _caller(frame: FrameType | None) -> str:
    stack = []
    while frame is not None:
        name = frame.f_code.co_filename
        stack.append((name[name.rfind("/app/") + 1 :], frame.f_code.co_qualname))
        frame = frame.f_back
    return next(
        (
            who
            for root in _ROOTS
            for name, who in reversed(stack)
            if name.startswith(root) and not name.startswith(_MACHINERY)
        ),
        "",
    )


def widest(transactions: list[dict[str, set[str]]]) -> dict[str, int]:
    """By kind of owner, the largest number of owners whose rows one transaction wrote."""
    return {kind: max(len(one.get(kind, ())) for one in transactions) for one in transactions for kind in one}


def global_uniques() -> set[str]:
    """The unique constraints that do not include the distribution column."""
    return {
        _named(table, columns)
        for table in metadata.tables.values()
        for columns in _uniques(table)
        if TABLES[table.name]["key"] not in columns
    }


def _uniques(table: Table) -> Iterator[Any]:
    kinds = UniqueConstraint | PrimaryKeyConstraint
    yield from (constraint.columns for constraint in table.constraints if isinstance(constraint, kinds))
    yield from (index.columns for index in table.indexes if index.unique)


def global_references() -> set[str]:
    """The foreign keys that do not lead from one distribution column to another."""
    return {
        _named(table, foreign.columns)
        for table in metadata.tables.values()
        for foreign in table.foreign_key_constraints
        if not any(
            part.parent.name == TABLES[table.name]["key"] and part.column.name == TABLES[part.column.table.name]["key"]
            for part in foreign.elements
        )
    }


def _named(table: Table, columns: Iterable[Any]) -> str:
    return f"{table.name}({','.join(column.name for column in columns)})"
