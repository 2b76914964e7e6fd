"""Every kind of alteration of rows in the money tables, generated from the schema and the existing rows.

A kind is an operation on certain columns of certain tables. Each is applied to one row of each shape: two rows have the
same shape if the same columns are empty and their short words (`phase`, `kind`, `state`) are equal.
"""

import contextlib
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Boolean, Column, Connection, Executable, Table, and_, delete, insert, select, update

from repositories.relational.money.digests import digest_of
from repositories.relational.money.ledger import TRANSFER_COLUMNS, to_transfer
from repositories.relational.schema import money_tables, order_tables, tables

Row = dict[str, Any]
STEPS = (timedelta(microseconds=1), timedelta(days=-1))


class Alteration(NamedTuple):
    kind: str
    about: Any
    statements: tuple[Executable, ...]


class Cell(NamedTuple):
    table: Table
    column: Column[Any]
    row: Row

    def put(self, value: Any) -> Executable:
        return update(self.table).where(by_primary_key(self.table, self.row)).values({self.column.name: value})

    def __str__(self) -> str:
        return f"{self.table.name}.{self.column.name}"


def money() -> dict[str, Table]:
    """The tables of orders, the ledger and stock, by name. New tables in these modules are included automatically."""
    modules = (*vars(money_tables).values(), *vars(order_tables).values())
    own = {one.name: one for one in modules if isinstance(one, Table)}
    return own | {"stock": tables.stock}


def by_primary_key(table: Table, row: Row) -> Any:
    return and_(*(key == row[key.name] for key in table.primary_key.columns))


class Book:
    """All rows, a few of each shape, and the alterations of these."""

    def __init__(self, connection: Connection, exempt: set[str], each: int = 1) -> None:
        self.tables = [table for name, table in money().items() if name not in exempt]
        self.all = {t.name: [dict(row._mapping) for row in connection.execute(select(t))] for t in self.tables}
        self.rows = {t.name: list(self._shaped(t, each)) for t in self.tables}

    def _shaped(self, table: Table, each: int) -> Iterator[Row]:
        seen: dict[Any, int] = {}
        for row in self.all[table.name]:
            shape = tuple(_shape(row[column.name]) for column in table.columns)
            seen[shape] = seen.get(shape, 0) + 1
            if seen[shape] <= each:
                yield row

    def everything(self) -> Iterator[Alteration]:
        for table in self.tables:
            yield from self._altered(table)
            yield from self._rows_gone_and_new(table)
            yield from self._swapped(table)
            yield from self._two_numbers(table)
        yield from self._with_digest_anew()
        yield from self._equal_cells()
        for one, other in itertools.combinations(self.tables, 2):
            yield from self._linked(one, other)

    def cells(self, table: Table, rows: list[Row] | None = None) -> Iterator[Cell]:
        for row in self.rows[table.name] if rows is None else rows:
            yield from (Cell(table, column, row) for column in table.columns)

    def _altered(self, table: Table) -> Iterator[Alteration]:
        for cell in self.cells(table):
            for value in self._others(cell):
                yield Alteration(f"{cell} altered", (cell.row, value), (cell.put(value),))

    def _others(self, cell: Cell) -> Iterator[Any]:
        now = cell.row[cell.column.name]
        found = list(_different(cell.column, now))
        found += [row[cell.column.name] for row in self.all[cell.table.name]]
        known: list[Any] = [now]
        for value in found:
            if value not in known and (value is not None or cell.column.nullable):
                known.append(value)
        # At most five values: near ones first, then those of other rows.
        yield from known[1:6]

    def _rows_gone_and_new(self, table: Table) -> Iterator[Alteration]:
        for row in self.rows[table.name]:
            yield Alteration(f"{table.name} deleted", row, (delete(table).where(by_primary_key(table, row)),))
            for key in table.primary_key.columns:
                for value in _different(key, row[key.name]):
                    new = row | {key.name: value}
                    yield Alteration(f"{table.name} inserted", new, (insert(table).values(new),))

    def _swapped(self, table: Table) -> Iterator[Alteration]:
        for one, other in itertools.combinations(self.rows[table.name], 2):
            for column in table.columns:
                pair = (one[column.name], other[column.name])
                if pair[0] != pair[1] and not column.primary_key:
                    cells = Cell(table, column, one), Cell(table, column, other)
                    changes = (cells[0].put(pair[1]), cells[1].put(pair[0]))
                    yield Alteration(f"{cells[0]} swapped", (one, other), changes)

    def _two_numbers(self, table: Table) -> Iterator[Alteration]:
        """Alter two numbers of a row, by the same or opposite steps."""
        numbers = [column for column in table.columns if _is_number(column)]
        for row in self.rows[table.name]:
            for one, other in itertools.combinations(numbers, 2):
                for step in (1, -1):
                    if row[one.name] is not None and row[other.name] is not None:
                        values = {one.name: row[one.name] + 1, other.name: row[other.name] + step}
                        what = f"{table.name}.{one.name} and {other.name} altered"
                        yield Alteration(
                            what, (row, values), (update(table).where(by_primary_key(table, row)).values(values),)
                        )

    def _with_digest_anew(self) -> Iterator[Alteration]:
        """Alter a transfer and recompute its digest, as somebody who knows how it is made could."""
        for cell in self.cells(money_tables.transfers):
            if cell.column.name == "digest":
                continue
            for value in self._others(cell):
                new = cell.row | {cell.column.name: value}
                with contextlib.suppress(AttributeError):  # None for an id or a time that the digest needs
                    digest = digest_of(
                        to_transfer([new[column.name] for column in TRANSFER_COLUMNS]), new["order_head"]
                    )
                    kind = f"{cell.row['phase']}.{cell.column.name} altered with its digest"
                    change = (
                        update(cell.table).where(by_primary_key(cell.table, cell.row)).values(new | {"digest": digest})
                    )
                    yield Alteration(kind, (cell.row, value), (change,))

    def _equal_cells(self) -> Iterator[Alteration]:
        """Alter two equal cells to the same value: one pair for each pair of columns."""
        places: dict[Any, list[Cell]] = {}
        for table in self.tables:
            for cell in self.cells(table):
                value = cell.row[cell.column.name]
                if isinstance(value, UUID | datetime | str | bytes):
                    places.setdefault(value, []).append(cell)
        done: set[str] = set()
        for value, cells in places.items():
            for one, other in itertools.combinations(cells, 2):
                kind = f"{one} and {other} altered"
                if kind in done or (one.row is other.row and one.column is other.column):
                    continue
                done.add(kind)
                for new in _different(one.column, value):
                    yield Alteration(kind, (one.row, other.row, new), (one.put(new), other.put(new)))

    def _linked(self, one: Table, other: Table) -> Iterator[Alteration]:
        """Delete two rows of different tables with a common id, or alter a number in each."""
        found = next(_pairs(self.rows[one.name], self.rows[other.name]), None)
        for first, second in _pairs(self.rows[one.name], self.rows[other.name]):
            gone = (delete(one).where(by_primary_key(one, first)), delete(other).where(by_primary_key(other, second)))
            yield Alteration(f"{one.name} and {other.name} deleted", (first, second), gone)
        for column, beside in itertools.product(one.columns, other.columns):
            if found and _is_number(column) and _is_number(beside):
                cells = Cell(one, column, found[0]), Cell(other, beside, found[1])
                for step in (1, -1):
                    pair = (cells[0].put(column + 1), cells[1].put(beside + step))
                    yield Alteration(f"{cells[0]} and {cells[1]} altered", found, pair)


def _pairs(rows: list[Row], others: list[Row]) -> Iterator[tuple[Row, Row]]:
    for row, other in itertools.product(rows, others):
        ids = {value for value in row.values() if isinstance(value, UUID)}
        if any(isinstance(value, UUID) and value in ids for value in other.values()):
            yield row, other


def _shape(value: Any) -> Any:
    """Booleans and short words are part of a row's shape; of other values only whether they are null."""
    return value if isinstance(value, bool) or (isinstance(value, str) and len(value) < 12) else value is None


def _is_number(column: Column[Any]) -> bool:
    return column.type.python_type is int


def _different(column: Column[Any], value: Any) -> Iterator[Any]:
    """Values of the column's type that differ from `value`."""
    if isinstance(column.type, Boolean):
        yield not value
    elif _is_number(column):
        yield from (0 if value is None else value + step for step in (1, -1))
    elif isinstance(value, datetime):
        yield from (value + step for step in STEPS)
    elif isinstance(value, bytes):
        yield bytes(byte ^ 1 for byte in value)
    elif isinstance(value, UUID):
        yield uuid4()
    elif isinstance(value, str):
        yield f"{value}x"
        if value != value[::-1]:
            yield value[::-1]
    if column.nullable and value is not None:
        yield None
