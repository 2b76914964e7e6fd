"""Refunds: the rows beside the ledger's transfers, and the sums of these."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    case,
    cast,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
)

from repositories.errors import Capped, IllegalMove, NotFound
from repositories.money_records import REFUND, OrderMark, Refund, Returned
from repositories.records import Money
from repositories.relational.refunds_port import RefundReads, RefundWrites
from repositories.relational.schema.columns import ID, LIMIT, TIME
from repositories.relational.schema.money_tables import orders, refunds, transfers
from repositories.relational.statement_runner import AnyRow, RunnerBacked, Work


def refunded(order_id: ColumnElement[UUID], *conditions: ColumnElement[bool]) -> ColumnElement[int]:
    """The sum of the refund transfers of an order."""
    made = (transfers.c.order_id == order_id, transfers.c.kind == REFUND, *conditions)
    total = select(cast(func.coalesce(func.sum(transfers.c.amount), 0), BigInteger)).where(*made)
    return total.correlate(orders).scalar_subquery()


_REFUNDS: Select[Any] = (
    select(
        refunds.c.id,
        refunds.c.order_id,
        refunds.c.seller_id,
        func.coalesce(transfers.c.amount, 0),
        orders.c.currency,
        refunds.c.reason,
        refunds.c.restock,
        refunds.c.created_at,
    )
    .join(orders, orders.c.id == refunds.c.order_id)
    .outerjoin(transfers, transfers.c.id == refunds.c.id)
)
_GET = _REFUNDS.where(refunds.c.id == bindparam("id", type_=ID))
_mark = tuple_(bindparam("before_at", type_=TIME), bindparam("before_id", type_=ID))
_OF_ORDER = (
    _REFUNDS.where(refunds.c.order_id == bindparam("order_id", type_=ID))
    .order_by(refunds.c.created_at.desc(), refunds.c.id.desc())
    .limit(LIMIT)
)
_OF_SELLER = _OF_ORDER.where(refunds.c.seller_id == bindparam("seller_id", type_=ID))
_before = tuple_(refunds.c.created_at, refunds.c.id) < _mark
_PAGES = {
    (of_seller, later): page.where(_before) if later else page
    for of_seller, page in ((False, _OF_ORDER), (True, _OF_SELLER))
    for later in (False, True)
}

_order, _seller = bindparam("order_id", type_=ID), bindparam("seller_id", type_=ID)
_RETURNED = select(
    refunded(_order, transfers.c.debit == _seller),
    exists().where(refunds.c.order_id == _order, refunds.c.seller_id == _seller, refunds.c.restock),
)
_ADD = insert(refunds)
_sum = refunded(orders.c.id)
_COUNT = (
    update(orders)
    .where(orders.c.id == bindparam("its_id"), orders.c.state.in_(("paid", "fulfilled")), _sum <= orders.c.total)
    .values(
        refunded=_sum,
        state=case((_sum == orders.c.total, "refunded"), else_=orders.c.state),
        version=orders.c.version + 1,
        moved_at=bindparam("now", type_=TIME),
    )
)
_STATE = select(orders.c.state, orders.c.total, orders.c.refunded).where(orders.c.id == bindparam("its_id"))


class SqlRefundReads(RunnerBacked, RefundReads):
    def get(self, refund_id: UUID) -> Refund | None:
        rows = self._runner.rows(_GET, {"id": refund_id})
        return _to_refund(rows[0]) if rows else None

    def of_order(
        self, order_id: UUID, *, seller_id: UUID | None = None, before: OrderMark | None, limit: int
    ) -> list[Refund]:
        values: dict[str, Any] = {"order_id": order_id, "limit": limit}
        if seller_id is not None:
            values["seller_id"] = seller_id
        if before is not None:
            values |= {"before_at": before.created_at, "before_id": before.id}
        page = _PAGES[seller_id is not None, before is not None]
        return [_to_refund(row) for row in self._runner.rows(page, values)]


class SqlRefundWrites(RefundWrites):
    def __init__(self, work: Work) -> None:
        self._work = work

    def returned(self, order_id: UUID, seller_id: UUID) -> Returned:
        (row,) = self._work.rows(_RETURNED, {"order_id": order_id, "seller_id": seller_id})
        return Returned(row[0], bool(row[1]))

    def add(self, refund: Refund) -> None:
        self._work.change(_ADD, {column.name: getattr(refund, column.name) for column in refunds.c})
        if not self._work.change(_COUNT, {"its_id": refund.order_id, "now": refund.created_at}):
            raise self._work.refused(self._refusal(refund.order_id))

    def _refusal(self, order_id: UUID) -> Capped | IllegalMove | NotFound:
        rows = self._work.rows(_STATE, {"its_id": order_id})
        if not rows:
            return NotFound(f"no order {order_id}")
        state, total, before = rows[0]
        return Capped(total - before) if state in {"paid", "fulfilled"} else IllegalMove(state)


def _to_refund(row: AnyRow) -> Refund:
    one, order_id, seller_id, amount, currency, reason, restock, created_at = row
    return Refund(one, order_id, seller_id, Money(amount, currency), reason, bool(restock), created_at)
