"""Orders with their lines, and the moves between their states."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Subquery, bindparam, insert, select, tuple_, update

from repositories.errors import IllegalMove, Invalid, NotFound
from repositories.money_records import ORDER_MOVES, Order, OrderLine, OrderMark, OrderState
from repositories.records import Money
from repositories.relational.orders_port import OrderReads, OrderWrites
from repositories.relational.schema.columns import ID, IDS, LIMIT, TIME, among
from repositories.relational.schema.money_tables import order_lines, order_sellers, orders
from repositories.relational.statement_runner import AnyRow, RunnerBacked, Work

LARGEST = 2**63 - 1

_LINE = tuple(order_lines.c[name] for name in OrderLine.__struct_fields__)
_OF_ORDER = len(orders.c)


def _whole(page: Subquery | None, *order: ColumnElement[Any]) -> Select[Any]:
    """Select orders, or a page of them, joined with their lines: one row per line."""
    source = orders if page is None else page
    joined = select(*source.c, *_LINE).join(order_lines, order_lines.c.order_id == source.c.id)
    return joined.order_by(*order, order_lines.c.number)


def _listing(key: ColumnElement[UUID], at: ColumnElement[datetime], one: ColumnElement[UUID], name: str) -> list[Any]:
    """The first page and the pages after it."""
    mark = tuple_(bindparam("before_at", type_=TIME), bindparam("before_id", type_=ID))
    first = (
        select(one.label("id")).where(key == bindparam("key", type_=ID)).order_by(at.desc(), one.desc()).limit(LIMIT)
    )
    both = (first, first.where(tuple_(at, one) < mark))
    pages = (
        select(*orders.c).join(ids, ids.c.id == orders.c.id).subquery(name) for ids in (p.subquery() for p in both)
    )
    return [_whole(page, page.c.created_at.desc(), page.c.id.desc()) for page in pages]


_ADD, _ADD_LINES, _ADD_SELLERS = insert(orders), insert(order_lines), insert(order_sellers)
_GET = _whole(None, orders.c.id).where(among(orders.c.id, bindparam("ids", type_=IDS)))
_LOCK = _whole(None).where(orders.c.id == bindparam("id")).with_for_update(of=orders)
_OF_BUYER = _listing(orders.c.buyer_id, orders.c.created_at, orders.c.id, "bought")
_OF_SELLER = _listing(order_sellers.c.seller_id, order_sellers.c.created_at, order_sellers.c.order_id, "sold")
_due = (
    select(orders)
    .where(orders.c.due_at <= bindparam("now", type_=TIME))
    .order_by(orders.c.due_at, orders.c.id)
    .limit(LIMIT)
    .subquery("due")
)
_STUCK = _whole(_due, _due.c.due_at, _due.c.id)
_MOVE = (
    update(orders)
    .where(orders.c.id == bindparam("its_id"), orders.c.state.in_(bindparam("states", expanding=True)))
    .values(
        state=bindparam("new_state"),
        version=orders.c.version + 1,
        moved_at=bindparam("now"),
        due_at=bindparam("new_due", type_=TIME),
    )
)

_UNFINISHED_OF = (
    select(order_sellers.c.order_id)
    .join(orders, orders.c.id == order_sellers.c.order_id)
    .where(order_sellers.c.seller_id == bindparam("seller", type_=ID), orders.c.state.in_(("placed", "paid")))
    .limit(LIMIT)
)


def to_orders(rows: Iterable[AnyRow]) -> list[Order]:
    """From the rows of `_whole`, in which the lines of an order are adjacent."""
    return [_order(list(group)) for _, group in groupby(rows, key=lambda row: row[0])]


def _order(rows: list[AnyRow]) -> Order:
    one, buyer, currency, total, created_at, *rest = rows[0][:_OF_ORDER]
    lines = tuple(OrderLine(*row[_OF_ORDER:]) for row in rows)
    return Order(one, buyer, Money(total, currency), lines, created_at, *rest)


def valid(order: Order) -> bool:
    lines = order.lines
    whole = all(line.quantity > 0 <= line.unit_price for line in lines)
    made = sum(line.quantity * line.unit_price for line in lines)
    return bool(lines) and whole and made == order.total.amount <= LARGEST and len(order.total.currency) == 3


def order_row(order: Order) -> dict[str, Any]:
    row = {name: getattr(order, name) for name in order.__struct_fields__ if name != "lines"}
    return row | {"total": order.total.amount, "currency": order.total.currency}


def line_rows(order: Order) -> list[dict[str, Any]]:
    return [
        {"order_id": order.id, "number": number} | {name: getattr(line, name) for name in line.__struct_fields__}
        for number, line in enumerate(order.lines, 1)
    ]


def seller_rows(order: Order) -> list[dict[str, Any]]:
    sellers = sorted({line.seller_id for line in order.lines})
    return [{"seller_id": seller, "created_at": order.created_at, "order_id": order.id} for seller in sellers]


class SqlOrderReads(RunnerBacked, OrderReads):
    def get(self, ids: Collection[UUID]) -> dict[UUID, Order]:
        found = to_orders(self._runner.rows(_GET, {"ids": list(ids)})) if ids else []
        return {order.id: order for order in found}

    def of_buyer(self, buyer_id: UUID, *, before: OrderMark | None, limit: int) -> list[Order]:
        return self._page(_OF_BUYER, buyer_id, before, limit)

    def of_seller(self, seller_id: UUID, *, before: OrderMark | None, limit: int) -> list[Order]:
        return self._page(_OF_SELLER, seller_id, before, limit)

    def stuck(self, *, now: datetime, limit: int) -> list[Order]:
        return to_orders(self._runner.rows(_STUCK, {"now": now, "limit": limit}))

    def _page(self, pages: Sequence[Any], key: UUID, before: OrderMark | None, limit: int) -> list[Order]:
        values = {"key": key, "limit": limit}
        if before is None:
            return to_orders(self._runner.rows(pages[0], values))
        return to_orders(self._runner.rows(pages[1], values | {"before_at": before.created_at, "before_id": before.id}))


class SqlOrderWrites(OrderWrites):
    def __init__(self, work: Work) -> None:
        self._work = work

    def add(self, order: Order) -> None:
        if not valid(order) or order.state != "placed" or order.refunded:
            raise self._work.refused(Invalid("no valid new order"))
        self._work.change(_ADD, order_row(order))
        self._work.change(_ADD_LINES, line_rows(order))
        self._work.change(_ADD_SELLERS, seller_rows(order))

    def lock(self, order_id: UUID) -> Order:
        found = to_orders(self._work.rows(_LOCK, {"id": order_id}))
        if not found:
            raise self._work.refused(NotFound(f"no order {order_id}"))
        return found[0]

    def move(
        self,
        order_id: UUID,
        from_states: Collection[OrderState],
        to_state: OrderState,
        *,
        at: datetime,
        due_at: datetime | None = None,
    ) -> Order:
        states = [state for state in from_states if to_state in ORDER_MOVES[state]]
        values = {"its_id": order_id, "states": states, "new_state": to_state, "now": at, "new_due": due_at}
        moved = self._work.change(_MOVE, values) if states else 0
        order = self.lock(order_id)
        if not moved:
            raise self._work.refused(IllegalMove(order.state))
        return order

    def unfinished_of(self, seller_id: UUID, *, limit: int) -> list[UUID]:
        return [one for (one,) in self._work.rows(_UNFINISHED_OF, {"seller": seller_id, "limit": limit})]
