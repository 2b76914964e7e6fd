"""Compares the stock of every product with its reservations, and with its receipts."""

import heapq
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, cast, func, literal_column, select

from repositories.money_records import Finding
from repositories.relational.audit.walking import walk
from repositories.relational.money.digests import START, chain
from repositories.relational.money.stock_receipts import MOST_VERSIONS, leg_of_receipt
from repositories.relational.schema.money_tables import reservations, stock_receipts
from repositories.relational.schema.tables import stock
from repositories.relational.statement_runner import AnyRow, Runner


def _of_product(column: ColumnElement[int], condition: ColumnElement[bool]) -> ColumnElement[Any]:
    total = cast(func.coalesce(func.sum(column), 0), BigInteger)
    return select(total).where(reservations.c.product_id == stock.c.product_id, condition).scalar_subquery()


_most = literal_column(str(MOST_VERSIONS), BigInteger)
_is_open = reservations.c.sold_at.is_(None)
_STOCK = walk(
    select(
        stock,
        _of_product(reservations.c.quantity, _is_open).label("open"),
        _of_product(reservations.c.quantity - reservations.c.returned, ~_is_open).label("gone"),
        _of_product(reservations.c.quantity % _most + reservations.c.returned % _most, ~_is_open).label("moved"),
    ),
    stock.c.product_id,
)
_RECEIPTS = walk(select(stock_receipts), stock_receipts.c.product_id, stock_receipts.c.number)


def audit_stock(runner: Runner) -> Iterator[Finding]:
    products = ((row.product_id, True, row) for row in _STOCK.rows(runner))
    receipts = ((row.product_id, False, row) for row in _RECEIPTS.rows(runner))
    for product, rows in groupby(heapq.merge(products, receipts, key=lambda one: one[0]), key=lambda one: one[0]):
        found = list(rows)
        own = [row for _, is_stock, row in found if is_stock]
        made = [row for _, is_stock, row in found if not is_stock]
        problems = _problems(own[0], made) if own else iter([f"is not there, {len(made)} receipts are"])
        yield from (Finding(f"stock of product {product}", problem) for problem in problems)


def _problems(row: AnyRow, receipts: list[AnyRow]) -> Iterator[str]:
    if row.received != row.on_hand + row.sold:
        yield f"{row.on_hand} on hand and {row.sold} sold of {row.received} received"
    if row.reserved != row.open:
        yield f"{row.reserved} reserved, its open reservations are {row.open}"
    if row.sold != row.gone:
        yield f"{row.sold} sold, its sold reservations are {row.gone}"
    if not receipts or row.received != receipts[-1].received:
        yield f"{row.received} received, its last receipt says {receipts[-1].received if receipts else 0}"
    if row.version != (len(receipts) + row.moved - 1) % MOST_VERSIONS + 1:
        yield f"is at version {row.version} after {len(receipts)} receipts and {row.moved} units sold or returned"
    digest = START
    for number, one in enumerate(receipts, 1):
        digest = chain(digest, leg_of_receipt(one.product_id, one.received))
        if (one.number, bytes(one.digest)) != (number, digest):
            yield f"receipt {one.number} is not what its digest was made of"
            return
