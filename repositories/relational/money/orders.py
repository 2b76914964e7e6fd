"""Orders with their lines and sub-orders, and the moves out of state `placed`."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Subquery, bindparam, insert, select

from repositories.errors import IllegalMove, Invalid, NotFound
from repositories.records.chain_heads import PartsHead
from repositories.records.graph import TimeCursor
from repositories.records.money import Money
from repositories.records.order_filter import EVERY_ORDER, OrderFilter
from repositories.records.orders import Order, OrderLine, SubOrder, split
from repositories.relational.money.order_chain import Heads, beginning
from repositories.relational.money.order_chain import moved as moved_to
from repositories.relational.money.order_heads import note
from repositories.relational.money.order_lists import Role, given, page_of, values_of
from repositories.relational.money.sub_orders import MOVE_ALL, MOVE_ONE, sum_up
from repositories.relational.orders_port import OrderReads, OrderWrites, Outcome
from repositories.relational.schema.columns import ID, IDS, LIMIT, TIME
from repositories.relational.schema.functions import among, database_time
from repositories.relational.schema.order_tables import order_lines, orders, sub_orders
from repositories.relational.statement_runner import RunnerBacked
from repositories.relational.work import Work

LARGEST = 2**63 - 1

_LINE = tuple(order_lines.c[name] for name in OrderLine.__struct_fields__)
_PART = tuple(sub_orders.c[name] for name in SubOrder.__struct_fields__)
_OF_ORDER = len(orders.c)
_OF_LINE = _OF_ORDER + len(_LINE)
_OF_PART = _OF_LINE + len(_PART)


def _whole(page: Subquery | None, *order: ColumnElement[Any]) -> Select[Any]:
    """Select orders, or a page of them, joined with their lines and these with their sub-orders: one row per line."""
    source = orders if page is None else page
    joined = select(*source.c, *_LINE, *_PART).join(order_lines, order_lines.c.order_id == source.c.id)
    its = (sub_orders.c.order_id == order_lines.c.order_id) & (sub_orders.c.seller_id == order_lines.c.seller_id)
    joined = joined.join(sub_orders, its)
    return joined.order_by(*order, order_lines.c.number)


@lru_cache(maxsize=256)
def _listing(role: Role, names: frozenset[str], *, later: bool) -> Select[Any]:
    ids = page_of(role, names, later=later).subquery("ids")
    page = select(*orders.c).join(ids, ids.c.id == orders.c.id).subquery("page")
    return _whole(page, page.c.created_at.desc(), page.c.id.desc())


_ADD, _ADD_LINES, _ADD_SUB_ORDERS = insert(orders), insert(order_lines), insert(sub_orders)
_GET = _whole(None, orders.c.id).where(among(orders.c.id, bindparam("ids", type_=IDS)))
# Locks the rows of all three tables, the order's first: after a wait PostgreSQL reads only locked rows again.
_whole_one = _whole(None).add_columns(sub_orders.c.head).where(orders.c.id == bindparam("id"))
_locked = _whole_one.with_for_update().subquery("locked")
# The time is selected outside of the locking subquery, as for ledger accounts: the last row's when all are locked.
_LOCK = select(*_locked.c, database_time().label("now"))
_due = (
    select(orders)
    .where(orders.c.due_at <= bindparam("now", type_=TIME))
    .order_by(orders.c.due_at, orders.c.id)
    .limit(LIMIT)
    .subquery("due")
)
_STUCK = _whole(_due, _due.c.due_at, _due.c.id)
_UNFINISHED_OF = (
    select(sub_orders.c.order_id)
    .where(
        sub_orders.c.seller_id == bindparam("seller", type_=ID),
        sub_orders.c.state.in_(("placed", "paid", "partly_fulfilled")),
    )
    .limit(LIMIT)
)


def to_orders(rows: Iterable[Sequence[Any]]) -> list[Order]:
    """From the rows of `_whole`, in which the lines of an order are adjacent."""
    return [_order(list(group)) for _, group in groupby(rows, key=lambda row: row[0])]


def _order(rows: list[Sequence[Any]]) -> Order:
    one, buyer, currency, total, created_at, state, version, refunded, moved_at, due_at = rows[0][:_OF_ORDER]
    lines = tuple(OrderLine(*row[_OF_ORDER:_OF_LINE]) for row in rows)
    parts = {row[_OF_LINE]: row[_OF_LINE:_OF_PART] for row in rows}
    sub = tuple(SubOrder(*parts[seller]) for seller in sorted(parts))
    money = Money(total, currency)
    return Order(one, buyer, money, lines, created_at, state, version, refunded, moved_at, due_at, sub)


def valid(order: Order) -> bool:
    lines = order.lines
    whole = all(line.quantity > 0 <= line.unit_price for line in lines)
    made = sum(line.quantity * line.unit_price for line in lines)
    totals = {part.seller_id: part.total for part in order.sub_orders}
    parted = totals == {part.seller_id: part.total for part in split(lines)}
    numbered = [line.number for line in lines] == list(range(1, len(lines) + 1))
    whole = whole and parted and numbered
    return bool(lines) and whole and made == order.total.amount <= LARGEST and len(order.total.currency) == 3


def order_row(order: Order) -> dict[str, Any]:
    row = {column.name: getattr(order, column.name, None) for column in orders.c}
    return row | {"total": order.total.amount, "currency": order.total.currency}


def line_rows(order: Order) -> list[dict[str, Any]]:
    of_order = {"order_id": order.id, "created_at": order.created_at}
    return [of_order | {name: getattr(line, name) for name in line.__struct_fields__} for line in order.lines]


def sub_order_rows(order: Order) -> list[dict[str, Any]]:
    own = {"order_id": order.id, "buyer_id": order.buyer_id, "created_at": order.created_at}
    own |= {"currency": order.total.currency}
    return [
        own | {name: getattr(part, name) for name in part.__struct_fields__} | {"head": beginning(order, part)}
        for part in order.sub_orders
    ]


class SqlOrderReads(RunnerBacked, OrderReads):
    def get(self, ids: Collection[UUID]) -> dict[UUID, Order]:
        found = to_orders(self._runner.rows(_GET, {"ids": list(ids)})) if ids else []
        return {order.id: order for order in found}

    def of_buyer(
        self, buyer_id: UUID, *, only: OrderFilter = EVERY_ORDER, before: TimeCursor | None, limit: int
    ) -> list[Order]:
        return self._page("buyer", buyer_id, only, before, limit)

    def of_seller(
        self, seller_id: UUID, *, only: OrderFilter = EVERY_ORDER, before: TimeCursor | None, limit: int
    ) -> list[Order]:
        return self._page("seller", seller_id, only, before, limit)

    def stuck(self, *, now: datetime, limit: int) -> list[Order]:
        return to_orders(self._runner.rows(_STUCK, {"now": now, "limit": limit}))

    def _page(self, role: Role, key: UUID, only: OrderFilter, before: TimeCursor | None, limit: int) -> list[Order]:
        statement = _listing(role, frozenset(given(only)), later=before is not None)
        return to_orders(self._runner.rows(statement, values_of(key, only, before, limit)))


class SqlOrderWrites(OrderWrites):
    """Adds the heads of the sub-orders that are added or locked to `heads`."""

    def __init__(self, work: Work, heads: Heads) -> None:
        self._work = work
        self._heads = heads

    def add(self, order: Order) -> None:
        if not valid(order) or order.state != "placed" or order.refunded:
            raise self._work.refused(Invalid("no valid new order"))
        self._work.queue(_ADD, order_row(order))
        self._work.queue(_ADD_LINES, line_rows(order))
        parts = sub_order_rows(order)
        self._work.queue(_ADD_SUB_ORDERS, parts)
        self._heads |= {(order.id, row["seller_id"]): row["head"] for row in parts}

    def lock(self, order_id: UUID) -> Order:
        rows = self._work.rows(_LOCK, {"id": order_id})
        if not rows:
            raise self._work.refused(NotFound(f"no order {order_id}"))
        self._work.seen = max(row.now for row in rows)
        self._heads |= {(order_id, row[_OF_LINE]): bytes(row[_OF_PART]) for row in rows}
        return to_orders(rows)[0]

    def move(
        self,
        order_id: UUID,
        to: Outcome,
        *,
        at: datetime,
        seller_id: UUID | None = None,
        by: UUID | None = None,
        reason: str | None = None,
    ) -> Order:
        paid, ended = (at, None) if to == "paid" else (None, at)
        values: dict[str, Any] = {
            "its_order": order_id,
            "to": to,
            "now": at,
            "paid": paid,
            "ended": ended,
            "by": by,
            "reason": reason,
        }
        values["step"] = moved_to(to, at, by, reason)
        if seller_id is None:
            moved = self._work.change(MOVE_ALL, values)
        else:
            moved = self._work.change(MOVE_ONE, values | {"its_seller": seller_id})
        if moved:
            sum_up(self._work, order_id, at)
        order = self.lock(order_id)
        if not moved:
            part = order.of(seller_id) if seller_id else None
            raise self._work.refused(IllegalMove(part.state if part else order.state))
        return order

    def unfinished_of(self, seller_id: UUID, *, limit: int) -> list[UUID]:
        return [one for (one,) in self._work.rows(_UNFINISHED_OF, {"seller": seller_id, "limit": limit})]

    def note_heads(self, *, limit: int) -> tuple[int, PartsHead]:
        return note(self._work, limit)
