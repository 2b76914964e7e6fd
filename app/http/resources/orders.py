"""`/orders`: place, list, cancel and fulfil orders."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import BASE, Blueprint, budget, private
from app.http.edge.deps import caller, container, cursors
from app.http.edge.fields import INT64, JsonInt, Moment, Text
from app.http.edge.idempotency import idempotent, receipt
from app.http.edge.paging import PageQuery, page_of
from app.http.edge.shapes import MoneySchema, MoneyShape
from app.ids import EPOCH, MICROSECOND
from app.services.money.orders import Wanted
from app.services.pages.fragments import encode, moment
from repositories.money_records import Answer, Order, OrderLine, OrderMark, Refund
from repositories.records import Money

blp = Blueprint("orders", "Orders: placed, paid, fulfilled, cancelled, refunded")

STATES = ("placed", "paid", "fulfilled", "cancelled", "refunded")


class WantedSchema(ma.Schema):
    product_id = ma.fields.UUID(required=True)
    quantity = JsonInt(required=True, validate=ma.validate.Range(1, INT64))


class BasketSchema(ma.Schema):
    lines = ma.fields.List(ma.fields.Nested(WantedSchema), required=True, validate=ma.validate.Length(1, 100))
    expected_total = ma.fields.Nested(
        MoneySchema,
        load_default=None,
        allow_none=True,
        metadata={"description": "an order that costs something else is refused (409 `price_changed`)"},
    )


class LineSchema(ma.Schema):
    product_id = ma.fields.UUID(required=True)
    product_version = ma.fields.Integer(required=True)
    title = ma.fields.String(required=True)
    seller_id = ma.fields.UUID(required=True)
    unit_price = ma.fields.Nested(MoneyShape, required=True)
    quantity = ma.fields.Integer(required=True)


class OrderSchema(ma.Schema):
    id = ma.fields.UUID(required=True)
    buyer_id = ma.fields.UUID(required=True)
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES))
    total = ma.fields.Nested(MoneyShape, required=True)
    refunded = ma.fields.Nested(MoneyShape, required=True)
    lines = ma.fields.List(ma.fields.Nested(LineSchema), required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)
    version = ma.fields.Integer(required=True)


class OrderQuery(PageQuery):
    role = Text(
        load_default="buyer",
        validate=ma.validate.OneOf(["buyer", "seller"]),
        metadata={"description": "as whom one looks: orders one has placed, or orders with a product of one's own"},
    )


OrderPage = page_of(OrderSchema, "OrderPage")


@blp.post("/orders")
@private
@budget(relational=15, documents=1, sessions=1, cache=1)
@blp.arguments(BasketSchema)
@blp.response(201, OrderSchema, headers={"Location": {"schema": {"type": "string"}}})
@blp.raises(403, 503)
@idempotent(required=True)
def create_order(basket: dict[str, Any]) -> Answer:
    """Place an order: units are reserved and the money is set aside. It is paid shortly after, unless cancelled."""
    wanted = [Wanted(**line) for line in basket["lines"]]
    return container().money.orders.place(caller(), wanted, receipt(_placed), expected=basket["expected_total"])


@blp.get("/orders")
@private
@budget(relational=1, sessions=1)
@blp.arguments(OrderQuery, location="query")
@blp.response(200, OrderPage)
def list_orders(query: dict[str, Any]) -> Response:
    """List one's orders as a buyer, or as a seller, newest first."""
    account, role, limit = caller(), query["role"], query["limit"]
    scope, orders = f"orders:{role}:{account}", container().stores.relational.orders
    page = orders.of_buyer if role == "buyer" else orders.of_seller
    found = page(account, before=mark(scope, query["cursor"]), limit=limit + 1)
    return answers.page(map(order_body, found[:limit]), onward(scope, found, limit))


@blp.get("/orders/<uuid:order_id>")
@private
@budget(relational=1, sessions=1)
@blp.response(200, OrderSchema)
@blp.raises(404)
def get_order(order_id: UUID) -> Response:
    """Read an order, as its buyer or one of its sellers."""
    return _changed(container().money.orders.read(caller(), order_id))


@blp.post("/orders/<uuid:order_id>/cancel")
@private
@budget(relational=16, sessions=1, cache=1)
@blp.response(200, OrderSchema)
@blp.raises(403, 404, 503)
@idempotent(required=True)
def cancel_order(order_id: UUID) -> Answer:
    """Cancel one's own order before it is paid."""
    return container().money.orders.cancel(caller(), order_id, receipt(_changed))


@blp.post("/orders/<uuid:order_id>/fulfil")
@private
@budget(relational=9, sessions=1)
@blp.response(200, OrderSchema)
@blp.raises(403, 404, 503)
@idempotent(required=True)
def fulfil_order(order_id: UUID) -> Answer:
    """Say as a seller that a paid order is fulfilled."""
    return container().money.orders.fulfil(caller(), order_id, receipt(_changed))


def _placed(order: Order) -> Response:
    return answers.thing(order_body(order), order.version, 201, f"{BASE}/orders/{order.id}")


def _changed(order: Order) -> Response:
    return answers.thing(order_body(order), order.version)


def mark(scope: str, cursor: str | None) -> OrderMark | None:
    """Where the page of a list by age begins."""
    if cursor is None:
        return None
    micros, one = cursors().read(scope, cursor)
    return OrderMark(EPOCH + micros * MICROSECOND, UUID(one))


def onward(scope: str, found: Sequence[Order] | Sequence[Refund], limit: int) -> str | None:
    """The cursor of the next page, when more than `limit` were found."""
    last = found[limit - 1] if len(found) > limit else None
    return cursors().issue(scope, [(last.created_at - EPOCH) // MICROSECOND, str(last.id)] if last else None)


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
            "created_at": moment(order.created_at),
            "updated_at": moment(order.moved_at or order.created_at),
            "version": order.version,
        }
    )


def _line(line: OrderLine, currency: str) -> dict[str, Any]:
    return {
        "product_id": line.product_id,
        "product_version": line.product_version,
        "title": line.title,
        "seller_id": line.seller_id,
        "unit_price": Money(line.unit_price, currency),
        "quantity": line.quantity,
    }
