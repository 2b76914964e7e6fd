"""An order's history, read from its row, sub-orders, shipments and refunds; nothing else is stored for it."""

from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, literal, null, select, tuple_, union_all

from repositories.records.graph import TimeCursor
from repositories.records.orders import OrderStep
from repositories.relational.schema.columns import ID, LIMIT, TEXT, TIME
from repositories.relational.schema.order_tables import orders, refunds, shipments, sub_orders
from repositories.relational.statement_runner import Runner

_order, _seller = bindparam("order_id", type_=ID), bindparam("seller_id", type_=ID)
_part = sub_orders.c
_nobody: ColumnElement[Any] = null().cast(ID)


def _step(at: Any, one: Any, kind: Any, seller: Any) -> Select[Any]:
    return select(at.label("at"), one.label("id"), kind.label("kind"), seller.label("seller_id"))


def _kind(name: str) -> ColumnElement[str]:
    return literal(name, TEXT)


_PLACED = _step(orders.c.created_at, orders.c.id, _kind("placed"), _nobody).where(orders.c.id == _order)
_OF_SELLERS = (
    (_step(_part.paid_at, _part.seller_id, _kind("paid"), _part.seller_id).where(_part.paid_at.is_not(None)), _part),
    (_step(_part.ended_at, _part.seller_id, _part.state, _part.seller_id).where(_part.ended_at.is_not(None)), _part),
    *(
        (_step(table.c.created_at, table.c.id, _kind(kind), table.c.seller_id), table.c)
        for kind, table in (("shipped", shipments), ("refunded", refunds))
    ),
)


@lru_cache
def _history(*, one_seller: bool, later: bool) -> Select[Any]:
    kinds = [
        step.where(row.order_id == _order, *((row.seller_id == _seller,) if one_seller else ()))
        for step, row in _OF_SELLERS
    ]
    steps = union_all(_PLACED, *kinds).subquery("steps")
    mark = tuple_(bindparam("after_at", type_=TIME), bindparam("after_id", type_=ID))
    place = tuple_(steps.c.at, steps.c.id)
    return select(steps).where(*((place > mark,) if later else ())).order_by(steps.c.at, steps.c.id).limit(LIMIT)


def read_history(
    runner: Runner, order_id: UUID, seller_id: UUID | None, after: TimeCursor | None, limit: int
) -> list[OrderStep]:
    values: dict[str, Any] = {"order_id": order_id, "limit": limit}
    if seller_id is not None:
        values["seller_id"] = seller_id
    if after is not None:
        values |= {"after_at": after.at, "after_id": after.id}
    statement = _history(one_seller=seller_id is not None, later=after is not None)
    return [OrderStep(*row) for row in runner.rows(statement, values)]
