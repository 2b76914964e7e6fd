"""Compares the stock of every product with its reservations, and with its receipts."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, cast, func, literal_column, select

from repositories.records.chain_heads import StockHead
from repositories.records.money import Finding
from repositories.relational.audit.receipts import about, by_product, chained, received
from repositories.relational.audit.walking import walk
from repositories.relational.money.stock_receipts import MOST_VERSIONS
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


def audit_stock(runner: Runner, stocked: Iterable[StockHead]) -> Iterator[Finding]:
    """Check all stock. The chains of receipts must lead through the heads `stocked`."""
    for product, (own, made, known) in by_product(_STOCK.rows(runner), _RECEIPTS.rows(runner), stocked):
        problems = _problems(own[0], made, known[0] if known else None) if own else _lost(made, known)
        yield from about(product, problems)


def _lost(receipts: list[AnyRow], known: list[StockHead]) -> Iterator[str]:
    if receipts:
        yield f"is missing, but has {len(receipts)} receipts"
    if known:
        yield "is missing, but is in the anchor"


def _problems(row: AnyRow, receipts: list[AnyRow], through: StockHead | None) -> Iterator[str]:
    yield from received(row)
    if row.reserved != row.open:
        yield f"has {row.reserved} reserved, but open reservations of {row.open}"
    if row.sold != row.gone:
        yield f"has {row.sold} sold, but sold reservations of {row.gone}"
    if row.version != (len(receipts) + row.moved - 1) % MOST_VERSIONS + 1:
        yield f"has version {row.version} after {len(receipts)} receipts and {row.moved} units sold or returned"
    yield from chained(row, receipts, through=through)
