"""Pages of a buyer's and of a seller's orders by age, filtered or not. An index serves each filter.

A statement starts at the table whose index is in the order of the page: order lines for a seller's orders of one
product, sub-orders for a seller and for a buyer's orders from one seller, else the buyer's orders.
"""

from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, exists, select, tuple_

from repositories.records.graph import TimeCursor
from repositories.records.order_filter import OrderFilter
from repositories.relational.schema.columns import ID, LIMIT, TIME
from repositories.relational.schema.order_tables import order_lines, orders, sub_orders

Role = Literal["buyer", "seller"]
_KEY = bindparam("key", type_=ID)
_TYPES: dict[str, Any] = {"seller_id": ID, "product_id": ID, "since": TIME, "until": TIME}
_part, _line = sub_orders.c, order_lines.c


def _given(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=_TYPES.get(name))


def _of_buyer(names: frozenset[str]) -> tuple[Select[Any], Any, Any]:
    state = (orders.c.state == _given("state"),) if "state" in names else ()
    currency = (orders.c.currency == _given("currency"),) if "currency" in names else ()
    if "seller_id" in names:
        at, one = _part.created_at, _part.order_id
        found = select(one.label("id")).where(_part.buyer_id == _KEY, _part.seller_id == _given("seller_id"))
        if state:
            found = found.join(orders, orders.c.id == one).where(*state)
        found = found.where(*((_part.currency == _given("currency"),) if currency else ()))
    else:
        at, one = orders.c.created_at, orders.c.id
        found = select(one.label("id")).where(orders.c.buyer_id == _KEY, *state, *currency)
    if "product_id" in names:
        found = found.where(exists().where(_line.order_id == one, _line.product_id == _given("product_id")))
    return found, at, one


def _of_seller(names: frozenset[str]) -> tuple[Select[Any], Any, Any]:
    chosen = [_part[name] == _given(name) for name in ("state", "currency") if name in names]
    if "product_id" not in names:
        found = select(_part.order_id.label("id")).where(_part.seller_id == _KEY, *chosen)
        return found, _part.created_at, _part.order_id
    # An order may have two lines of the product.
    found = select(_line.order_id.label("id"), _line.created_at).distinct()
    found = found.where(_line.product_id == _given("product_id"), _line.seller_id == _KEY)
    if chosen:
        its = (_part.order_id == _line.order_id, _part.seller_id == _line.seller_id)
        found = found.where(exists().where(*its, *chosen))
    return found, _line.created_at, _line.order_id


@lru_cache(maxsize=256)
def page_of(role: Role, names: frozenset[str], *, later: bool) -> Select[Any]:
    """Select the ids of a page: `key` is the buyer or the seller, `names` are the conditions that are set."""
    found, at, one = (_of_buyer if role == "buyer" else _of_seller)(names)
    if "since" in names:
        found = found.where(at >= _given("since"))
    if "until" in names:
        found = found.where(at < _given("until"))
    if later:
        mark = tuple_(bindparam("before_at", type_=TIME), bindparam("before_id", type_=ID))
        found = found.where(tuple_(at, one) < mark)
    return found.order_by(at.desc(), one.desc()).limit(LIMIT)


def values_of(key: UUID, conditions: OrderFilter, before: TimeCursor | None, limit: int) -> dict[str, Any]:
    values: dict[str, Any] = {"key": key, "limit": limit} | given(conditions)
    return values | ({"before_at": before.at, "before_id": before.id} if before else {})


def given(conditions: OrderFilter) -> dict[str, Any]:
    values = {name: getattr(conditions, name) for name in conditions.__struct_fields__}
    return {name: value for name, value in values.items() if value is not None}
