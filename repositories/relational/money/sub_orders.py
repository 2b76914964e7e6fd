"""Sub-orders: their moves, and the state of the whole order that follows from them.

Every change of a sub-order holds the lock of its order, so what one statement reads is still true for the next one.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, LargeBinary, bindparam, case, cast, exists, func, select, update

from repositories.records.money import REFUND
from repositories.records.orders import SUB_ORDER_MOVES, SubOrderState
from repositories.relational.schema.columns import ID, TEXT, TIME
from repositories.relational.schema.functions import chained
from repositories.relational.schema.money_tables import transfers
from repositories.relational.schema.order_tables import order_lines, orders, sub_orders
from repositories.relational.work import Work

_part, _its = sub_orders.c, sub_orders.c.order_id == bindparam("its_order", type_=ID)
THIS = (_its, _part.seller_id == bindparam("its_seller", type_=ID))
MOVED = {
    "version": _part.version + 1,
    "moved_at": bindparam("now", type_=TIME),
    "head": chained(_part.head, bindparam("step", type_=LargeBinary())),
}

MOVE_ALL = (
    update(sub_orders)
    .where(_its, _part.state == "placed")
    .values(
        MOVED
        | {
            "state": bindparam("to"),
            "paid_at": bindparam("paid", type_=TIME),
            "ended_at": bindparam("ended", type_=TIME),
            "ended_by": bindparam("by", type_=ID),
            "reason": bindparam("reason", type_=TEXT),
        }
    )
)
MOVE_ONE = MOVE_ALL.where(THIS[1])

# Correlated to the row of `sub_orders` that the statement reads or changes.
_its_lines = (order_lines.c.order_id == _part.order_id, order_lines.c.seller_id == _part.seller_id)
_unsent = order_lines.c.fulfilled + order_lines.c.returned < order_lines.c.quantity
NOTHING_TO_SEND = ~exists().where(*_its_lines, _unsent).correlate(sub_orders)


def movable(to: SubOrderState) -> ColumnElement[bool]:
    """Whether the sub-order is in a state from which it can move to this one."""
    return _part.state.in_(SUB_ORDER_MOVES[to])


def refunded(order_id: ColumnElement[UUID], *conditions: ColumnElement[bool]) -> ColumnElement[int]:
    """The sum of the refund transfers of an order, or of one of its sellers."""
    made = (transfers.c.order_id == order_id, transfers.c.kind == REFUND, *conditions)
    total = select(cast(func.coalesce(func.sum(transfers.c.amount), 0), BigInteger)).where(*made)
    return total.correlate(orders, sub_orders).scalar_subquery()


def _some(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(sub_orders.c.order_id == orders.c.id, condition).correlate(orders)


# Decision 23: the state of the least advanced sub-order that is not ended; if all are, whether any of them was paid.
ORDER_STATE: ColumnElement[str] = case(
    (_some(_part.state == "placed"), "placed"),
    (_some(_part.state.in_(("paid", "partly_fulfilled"))), "paid"),
    (_some(_part.state == "fulfilled"), "fulfilled"),
    (_some(_part.paid_at.is_not(None)), "refunded"),
    else_="cancelled",
)
_SUM_UP = (
    update(orders)
    .where(orders.c.id == bindparam("its_id", type_=ID))
    .values(
        state=ORDER_STATE,
        refunded=refunded(orders.c.id),
        version=orders.c.version + 1,
        moved_at=bindparam("now", type_=TIME),
        due_at=case((_some(_part.state == "placed"), orders.c.due_at), else_=None),
    )
)


def sum_up(work: Work, order_id: UUID, at: datetime) -> None:
    """Update the order as a whole after a change of one of its sub-orders."""
    values: dict[str, Any] = {"its_id": order_id, "now": at}
    work.change(_SUM_UP, values)
