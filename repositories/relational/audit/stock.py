"""Compares the stock of every product with its reservations."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, cast, func, select

from repositories.money_records import Finding
from repositories.relational.audit.walking import walk
from repositories.relational.schema.money_tables import reservations
from repositories.relational.schema.tables import stock
from repositories.relational.statement_runner import Runner


def _of_product(column: ColumnElement[int], condition: ColumnElement[bool]) -> ColumnElement[Any]:
    total = cast(func.coalesce(func.sum(column), 0), BigInteger)
    return select(total).where(reservations.c.product_id == stock.c.product_id, condition).scalar_subquery()


_is_open = reservations.c.sold_at.is_(None)
_STOCK = walk(
    select(
        stock,
        _of_product(reservations.c.quantity, _is_open).label("open"),
        _of_product(reservations.c.quantity - reservations.c.returned, ~_is_open).label("gone"),
    ),
    stock.c.product_id,
)


def audit_stock(runner: Runner) -> Iterator[Finding]:
    for row in _STOCK.rows(runner):
        about = f"stock of product {row.product_id}"
        if row.received != row.on_hand + row.sold:
            yield Finding(about, f"{row.on_hand} on hand and {row.sold} sold of {row.received} received")
        if row.reserved != row.open:
            yield Finding(about, f"{row.reserved} reserved, its open reservations are {row.open}")
        if row.sold != row.gone:
            yield Finding(about, f"{row.sold} sold, its sold reservations are {row.gone}")
