"""Compares stock, reservations, order lines and refunds, in batches of one statement each."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, bindparam, cast, exists, func, select

from repositories.money_records import REFUND, Finding
from repositories.relational.audit.ledger import BATCH, NIL, audit_ledger
from repositories.relational.money.refunds import refunded
from repositories.relational.money_port import Audit
from repositories.relational.schema.columns import ID, LIMIT
from repositories.relational.schema.money_tables import order_lines, orders, refunds, reservations, transfers
from repositories.relational.schema.tables import stock
from repositories.relational.statement_runner import AnyRow, RunnerBacked

_LIVE = ("placed", "paid", "fulfilled")
_AFTER = bindparam("after", type_=ID)


def _sum(column: ColumnElement[int]) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(column), 0), BigInteger)


def _reserved(column: ColumnElement[int], condition: ColumnElement[bool]) -> ColumnElement[Any]:
    its = reservations.c.product_id == stock.c.product_id
    return select(_sum(column)).where(its, condition).scalar_subquery()


_STOCK = (
    select(
        stock,
        _reserved(reservations.c.quantity, reservations.c.sold_at.is_(None)).label("open"),
        _reserved(reservations.c.quantity - reservations.c.returned, reservations.c.sold_at.is_not(None)).label("gone"),
    )
    .where(stock.c.product_id > _AFTER)
    .order_by(stock.c.product_id)
    .limit(LIMIT)
)
_page = select(orders).where(orders.c.id > _AFTER).order_by(orders.c.id).limit(LIMIT).subquery("page")
_lines = (
    select(
        _page.c.id,
        _page.c.state,
        _page.c.total,
        order_lines.c.product_id,
        _sum(order_lines.c.quantity).label("bought"),
        _sum(order_lines.c.quantity * order_lines.c.unit_price).label("price"),
    )
    .outerjoin(order_lines, order_lines.c.order_id == _page.c.id)
    .group_by(_page.c.id, _page.c.state, _page.c.total, order_lines.c.product_id)
    .subquery("lines")
)
_ORDERS = (
    select(_lines, reservations.c.quantity, reservations.c.sold_at)
    .outerjoin(
        reservations,
        (reservations.c.order_id == _lines.c.id) & (reservations.c.product_id == _lines.c.product_id),
    )
    .order_by(_lines.c.id, _lines.c.product_id)
)


_sum_refunded = refunded(orders.c.id)
_unrecorded = (
    select(func.count())
    .where(transfers.c.order_id == orders.c.id, transfers.c.kind == REFUND)
    .where(~exists().where(refunds.c.id == transfers.c.id))
    .correlate(orders)
    .scalar_subquery()
)
_REFUNDED = (
    select(
        orders.c.id,
        orders.c.state,
        orders.c.total,
        orders.c.refunded,
        _sum_refunded.label("moved"),
        _unrecorded.label("unrecorded"),
    )
    .where(orders.c.id > _AFTER)
    .order_by(orders.c.id)
    .limit(LIMIT)
)


class SqlAudit(RunnerBacked, Audit):
    def ledger(self) -> Iterator[Finding]:
        return audit_ledger(self._runner)

    def stock(self) -> Iterator[Finding]:
        yield from self._walk(_STOCK, "product_id", _stock_findings)
        yield from self._walk(_ORDERS, "id", _order_findings)
        yield from self._walk(_REFUNDED, "id", _refund_findings)

    def _walk(self, statement: Any, key: str, findings: Any) -> Iterator[Finding]:
        after = NIL
        while rows := self._runner.rows(statement, {"after": after, "limit": BATCH}):
            yield from findings(rows)
            after = getattr(rows[-1], key)


def _stock_findings(rows: list[AnyRow]) -> Iterator[Finding]:
    for row in rows:
        about = f"stock of product {row.product_id}"
        if row.received != row.on_hand + row.sold:
            yield Finding(about, f"{row.on_hand} on hand and {row.sold} sold of {row.received} received")
        if row.reserved != row.open:
            yield Finding(about, f"{row.reserved} reserved, its open reservations are {row.open}")
        if row.sold != row.gone:
            yield Finding(about, f"{row.sold} sold, its sold reservations are {row.gone}")


def _order_findings(rows: list[AnyRow]) -> Iterator[Finding]:
    prices: dict[Any, int] = {}
    totals = {row.id: row.total for row in rows}
    for row in rows:
        prices[row.id] = prices.get(row.id, 0) + row.price
        if problem := _reservation_problem(row):
            yield Finding(f"order {row.id}", f"product {row.product_id}: {problem}")
    for one, price in prices.items():
        if price != totals[one]:
            yield Finding(f"order {one}", f"its total is {totals[one]}, its lines make {price}")


def _refund_findings(rows: list[AnyRow]) -> Iterator[Finding]:
    for row in rows:
        about = f"order {row.id}"
        if row.refunded != row.moved:
            yield Finding(about, f"says {row.refunded} were refunded, its transfers make {row.moved}")
        if row.unrecorded:
            yield Finding(about, f"{row.unrecorded} refund transfers have no refund")
        if row.total and (row.state == "refunded") != (row.refunded == row.total):
            yield Finding(about, f"is {row.state} with {row.refunded} refunded of {row.total}")


def _reservation_problem(row: AnyRow) -> str | None:
    if row.state in _LIVE and row.quantity != row.bought:
        return f"{row.bought} bought, {row.quantity or 0} reserved or sold"
    if row.state in {"paid", "fulfilled"} and row.sold_at is None:
        return "is paid and still reserved"
    if row.state in {"cancelled", "refunded"} and row.quantity is not None and row.sold_at is None:
        return f"is {row.state} and still reserved"
    return None
