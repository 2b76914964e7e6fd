"""Refunds: rows that complement the ledger's refund transfers, and the sums of these."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Select, bindparam, case, func, insert, select, tuple_, update

from repositories.errors import Capped, IllegalMove, NotFound
from repositories.records.graph import TimeCursor
from repositories.records.money import Money
from repositories.records.orders import SUB_ORDER_MOVES, Refund
from repositories.relational.money.order_chain import refunded as refunded_by
from repositories.relational.money.sub_orders import MOVED, NOTHING_TO_SEND, THIS, movable, refunded, sum_up
from repositories.relational.refunds_port import RefundReads, RefundWrites
from repositories.relational.schema.columns import ID, LIMIT, TEXT, TIME
from repositories.relational.schema.money_tables import transfers
from repositories.relational.schema.order_tables import order_lines, orders, refunds, sub_orders
from repositories.relational.statement_runner import AnyRow, RunnerBacked
from repositories.relational.work import WorkBacked

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
        refunds.c.units,
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

_REFUND = ("id", "order_id", "seller_id", "reason", "restock", "created_at", "units")
_ADD = insert(refunds)
_ADD_RETURNED = (
    update(order_lines)
    .where(
        order_lines.c.order_id == bindparam("its_order", type_=ID),
        order_lines.c.seller_id == bindparam("its_seller", type_=ID),
        order_lines.c.number == bindparam("its_number"),
    )
    .values(returned=order_lines.c.returned + bindparam("units", type_=BigInteger()))
)
_sum = refunded(sub_orders.c.order_id, transfers.c.debit == sub_orders.c.seller_id)
_whole = _sum == sub_orders.c.total
_counted = update(sub_orders).where(*THIS, _sum <= sub_orders.c.total)
_state_after = case((_whole, "refunded"), (NOTHING_TO_SEND, "fulfilled"), else_=sub_orders.c.state)
_COUNT = (
    _counted.where(movable("refunded"))
    .values(MOVED | {"refunded": _sum, "state": _state_after})
    .returning(sub_orders.c.version)
)
_ended = {"ended_at": bindparam("now", type_=TIME), "ended_by": bindparam("by", type_=ID)}
_ended |= {"reason": bindparam("reason", type_=TEXT)}
_REFUSE = (
    _counted.where(sub_orders.c.state == "paid")
    .values(MOVED | _ended | {"refunded": _sum, "state": "refused"})
    .returning(sub_orders.c.version)
)
_STATE = select(sub_orders.c.state, sub_orders.c.total, sub_orders.c.refunded).where(*THIS)


class SqlRefundReads(RunnerBacked, RefundReads):
    def get(self, refund_id: UUID) -> Refund | None:
        rows = self._runner.rows(_GET, {"id": refund_id})
        return _to_refund(rows[0]) if rows else None

    def of_order(
        self, order_id: UUID, *, seller_id: UUID | None = None, before: TimeCursor | None, limit: int
    ) -> list[Refund]:
        values: dict[str, Any] = {"order_id": order_id, "limit": limit}
        if seller_id is not None:
            values["seller_id"] = seller_id
        if before is not None:
            values |= {"before_at": before.at, "before_id": before.id}
        page = _PAGES[seller_id is not None, before is not None]
        return [_to_refund(row) for row in self._runner.rows(page, values)]


class SqlRefundWrites(WorkBacked, RefundWrites):
    def add(self, refund: Refund, back: Mapping[int, int] | None = None, *, refuses: bool = False) -> None:
        this = {"its_order": refund.order_id, "its_seller": refund.seller_id}
        if back:
            self._work.change(_ADD_RETURNED, [this | {"its_number": one, "units": back[one]} for one in sorted(back)])
        step = refunded_by(refund.id, refund.reason, restock=refund.restock, units=refund.units, at=refund.created_at)
        moved: dict[str, Any] = this | {"now": refund.created_at, "step": step}
        if refuses:
            moved |= {"by": refund.id, "reason": refund.reason}
        rows = self._work.rows(_REFUSE if refuses else _COUNT, moved)
        if not rows:
            raise self._work.refused(self._refusal(this))
        self._work.change(_ADD, {name: getattr(refund, name) for name in _REFUND} | {"version": rows[0].version})
        sum_up(self._work, refund.order_id, refund.created_at)

    def _refusal(self, this: dict[str, UUID]) -> Capped | IllegalMove | NotFound:
        rows = self._work.rows(_STATE, this)
        if not rows:
            return NotFound(f"nothing of {this['its_seller']} in order {this['its_order']}")
        state, total, before = rows[0]
        return Capped(total - before) if state in SUB_ORDER_MOVES["refunded"] else IllegalMove(state)


def _to_refund(row: AnyRow) -> Refund:
    one, order_id, seller_id, amount, currency, reason, restock, created_at, units = row
    return Refund(one, order_id, seller_id, Money(amount, currency), reason, bool(restock), created_at, units)
