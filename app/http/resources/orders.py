"""`/orders`: place, list and cancel orders. The operations of sellers are in `fulfilment.py`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, get_args
from uuid import UUID

import marshmallow as ma
from flask import Response
from msgspec.structs import replace

from app.http.edge import answers
from app.http.edge.blueprint import BASE, LOCATION, Blueprint, budget, private
from app.http.edge.deps import caller, container, cursors
from app.http.edge.fields import INT64, Instant, JsonInt, Moment, Text
from app.http.edge.idempotency import idempotent, receipt
from app.http.edge.paging import PageQuery, Position, by_time, page_of
from app.http.edge.shapes import CODE_LIKE, MoneySchema, MoneyShape
from app.services.money.pricing import Wanted
from app.services.money.shares import seen_by
from app.services.pages.fragments import encode, moment
from repositories.records.idempotency import Answer
from repositories.records.money import Money
from repositories.records.order_filter import OrderFilter
from repositories.records.orders import Order, OrderLine, Refund, Shipment, SubOrder, SubOrderState

A = TypeVar("A", Refund, Shipment)
blp = Blueprint("orders", "Orders, each with one sub-order per seller")

STATES = get_args(SubOrderState)


class WantedSchema(ma.Schema):
    product_id = ma.fields.UUID(required=True)
    quantity = JsonInt(required=True, validate=ma.validate.Range(1, INT64))


class BasketSchema(ma.Schema):
    lines = ma.fields.List(ma.fields.Nested(WantedSchema), required=True, validate=ma.validate.Length(1, 100))
    expected_total = ma.fields.Nested(
        MoneySchema,
        load_default=None,
        allow_none=True,
        metadata={"description": "an order with a different total is refused (409 `price_changed`)"},
    )


class LineSchema(ma.Schema):
    """A line of an order. `fulfilled` units were sent, `returned` units came back to stock."""

    number = ma.fields.Integer(required=True)
    product_id = ma.fields.UUID(required=True)
    product_version = ma.fields.Integer(required=True)
    title = ma.fields.String(required=True)
    seller_id = ma.fields.UUID(required=True)
    unit_price = ma.fields.Nested(MoneyShape, required=True)
    quantity = ma.fields.Integer(required=True)
    fulfilled = ma.fields.Integer(required=True)
    returned = ma.fields.Integer(required=True)


class SubOrderSchema(ma.Schema):
    """A seller's part of an order. `reason` is why the seller refused it."""

    seller_id = ma.fields.UUID(required=True)
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES))
    total = ma.fields.Nested(MoneyShape, required=True)
    refunded = ma.fields.Nested(MoneyShape, required=True)
    updated_at = Moment(required=True)
    reason = ma.fields.String(required=True, allow_none=True)


class OrderSchema(ma.Schema):
    """An order. The buyer sees all of it; a seller sees only the lines, the state and the sums of the own part."""

    id = ma.fields.UUID(required=True)
    buyer_id = ma.fields.UUID(required=True)
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES))
    total = ma.fields.Nested(MoneyShape, required=True)
    refunded = ma.fields.Nested(MoneyShape, required=True)
    lines = ma.fields.List(ma.fields.Nested(LineSchema), required=True)
    sellers = ma.fields.List(ma.fields.Nested(SubOrderSchema), required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)
    version = ma.fields.Integer(required=True)


class OrderQuery(PageQuery):
    role = Text(
        load_default="buyer",
        validate=ma.validate.OneOf(["buyer", "seller"]),
        metadata={"description": "`buyer`: orders you have placed; `seller`: orders that contain your products"},
    )
    state = Text(
        load_default=None,
        validate=ma.validate.OneOf(STATES),
        metadata={"description": "state of the order; with the role `seller`, state of your sub-order"},
    )
    currency = Text(load_default=None, validate=CODE_LIKE)
    seller_id = ma.fields.UUID(
        load_default=None,
        metadata={
            "description": "orders with a sub-order of this seller; with the role `seller`, only your own id finds any"
        },
    )
    product_id = ma.fields.UUID(load_default=None)
    since = Instant(data_key="from", load_default=None, metadata={"description": "placed at this time or later"})
    until = Instant(data_key="to", load_default=None, metadata={"description": "placed before this time"})


OrderPage = page_of(OrderSchema, "OrderPage")


@blp.post("/orders")
@private
@budget(relational=18, documents=1, sessions=1, cache=1)
@blp.arguments(BasketSchema)
@blp.response(201, OrderSchema, headers=LOCATION)
@blp.raises(403, 503)
@idempotent(required=True)
def create_order(basket: dict[str, Any]) -> Answer:
    """Place an order: reserves the units and holds the money. It is paid shortly after, unless cancelled."""
    wanted = [Wanted(**line) for line in basket["lines"]]
    return container().money.orders.place(caller(), wanted, receipt(_placed), expected=basket["expected_total"])


@blp.get("/orders")
@private
@budget(relational=1, sessions=1)
@blp.arguments(OrderQuery, location="query")
@blp.response(200, OrderPage)
def list_orders(query: dict[str, Any]) -> Response:
    """List your orders as a buyer, or your sub-orders as a seller, newest first."""
    account, role, limit = caller(), query["role"], query["limit"]
    only = OrderFilter(**{name: query[name] for name in OrderFilter.__struct_fields__})
    scope, orders = f"orders:{role}:{account}:{only}", container().stores.relational.orders
    before = cursors().time(scope, query["cursor"])
    if role == "buyer":
        found = orders.of_buyer(account, only=only, before=before, limit=limit + 1)
    elif only.seller_id in {None, account}:
        found = orders.of_seller(account, only=replace(only, seller_id=None), before=before, limit=limit + 1)
    else:
        found = []
    return answers.page(map(order_body, seen(account, found[:limit])), cursors().onward(scope, found, limit, by_age))


@blp.get("/orders/<uuid:order_id>")
@private
@budget(relational=1, sessions=1)
@blp.response(200, OrderSchema)
@blp.raises(404)
def get_order(order_id: UUID) -> Response:
    """Get an order. For its buyer and its sellers."""
    return order_answer(container().money.orders.read(caller(), order_id))


@blp.post("/orders/<uuid:order_id>/cancel")
@private
@budget(relational=17, sessions=1, cache=1)
@blp.response(200, OrderSchema)
@blp.raises(403, 404, 503)
@idempotent(required=True)
def cancel_order(order_id: UUID) -> Answer:
    """Cancel your own order before it is paid. Sub-orders that their sellers have refused stay refused."""
    return container().money.orders.cancel(caller(), order_id, receipt(order_answer))


def _placed(order: Order) -> Response:
    return answers.thing(order_body(order), order.version, 201, f"{BASE}/orders/{order.id}")


def order_answer(order: Order) -> Response:
    return answers.thing(order_body(order), order.version)


def by_age(found: Order | Refund | Shipment) -> Position:
    return by_time(found.created_at, found.id)


def of_order(
    kind: str, order_id: UUID, query: dict[str, Any], read: Callable[..., Sequence[A]], body: Callable[[A], bytes]
) -> Response:
    """A page of an order's refunds or shipments, newest first.

    `read` takes the caller's account id, the order id, `before` and `limit`; `body` encodes an item.
    """
    account, limit = caller(), query["limit"]
    scope = f"{kind}:{order_id}:{account}"
    found = read(account, order_id, before=cursors().time(scope, query["cursor"]), limit=limit + 1)
    return answers.page(map(body, found[:limit]), cursors().onward(scope, found, limit, by_age))


def seen(account_id: UUID, orders: Iterable[Order]) -> Iterator[Order]:
    """The orders as the account may see them; those without a part for it are left out."""
    return filter(None, (seen_by(account_id, order) for order in orders))


def order_body(order: Order) -> bytes:
    currency = order.total.currency
    return encode(
        {
            "id": order.id,
            "buyer_id": order.buyer_id,
            "state": order.state,
            "total": order.total,
            "refunded": Money(order.refunded, currency),
            "lines": [_line(line, currency) for line in order.lines],
            "sellers": [_sub_order(part, order) for part in order.sub_orders],
            "created_at": moment(order.created_at),
            "updated_at": moment(order.moved_at or order.created_at),
            "version": order.version,
        }
    )


def _line(line: OrderLine, currency: str) -> dict[str, Any]:
    return {
        "number": line.number,
        "product_id": line.product_id,
        "product_version": line.product_version,
        "title": line.title,
        "seller_id": line.seller_id,
        "unit_price": Money(line.unit_price, currency),
        "quantity": line.quantity,
        "fulfilled": line.fulfilled,
        "returned": line.returned,
    }


def _sub_order(part: SubOrder, order: Order) -> dict[str, Any]:
    currency = order.total.currency
    return {
        "seller_id": part.seller_id,
        "state": part.state,
        "total": Money(part.total, currency),
        "refunded": Money(part.refunded, currency),
        "updated_at": moment(part.moved_at or order.created_at),
        "reason": part.reason,
    }
