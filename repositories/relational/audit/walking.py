"""Reads a table from one end to the other, in batches along an index, so that memory is bounded by a batch."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Column, Select, bindparam, tuple_

from repositories.relational.schema.columns import LIMIT
from repositories.relational.statement_runner import AnyRow, Runner

BATCH = 1_000
NIL = UUID(int=0)
Key = tuple[UUID, str]


class Walk(NamedTuple):
    """`statement` reads all rows; `columns`, whose names are `keys`, order them.

    `first` reads the first batch, `further` the one after the row whose keys are given as `after_<key>`.
    """

    statement: Select[Any]
    columns: tuple[Column[Any], ...]
    first: Select[Any]
    further: Select[Any]
    keys: tuple[str, ...]

    def rows(self, runner: Runner, **values: Any) -> Iterator[AnyRow]:
        """All rows, in the order of the keys. `values` are those of the statement's own parameters."""
        values["limit"] = BATCH
        rows = runner.rows(self.first, values)
        while rows:
            yield from rows
            if len(rows) < BATCH:
                return
            values |= {f"after_{key}": getattr(rows[-1], key) for key in self.keys}
            rows = runner.rows(self.further, values)


def walk(statement: Select[Any], *keys: Column[Any]) -> Walk:
    """Walk along `keys`, which must be unique together, indexed, and selected under their own names."""
    page = statement.order_by(*keys).limit(LIMIT)
    after = tuple_(*(bindparam(f"after_{key.name}", type_=key.type) for key in keys))
    return Walk(statement, keys, page, page.where(tuple_(*keys) > after), tuple(key.name for key in keys))


def read_on(runner: Runner, page: Select[Any], values: dict[str, Any]) -> Iterator[AnyRow]:
    """Rows with `owner`, `currency` and `sequence`, page by page, after the position given in `values`."""
    values = values | {"limit": BATCH}
    while rows := runner.rows(page, values):
        yield from rows
        values |= {name: getattr(rows[-1], name) for name in ("owner", "currency", "sequence")}


def key_of(row: AnyRow) -> Key:
    return row.owner, row.currency
