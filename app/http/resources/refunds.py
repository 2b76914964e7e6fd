"""`/orders/{order_id}/refunds`: refunds by the sellers of an order."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import BASE, LOCATION, Blueprint, budget, private
from app.http.edge.deps import caller, container
from app.http.edge.fields import JsonBoolean, Moment, Prose
from app.http.edge.idempotency import idempotent, receipt
from app.http.edge.paging import PageQuery, page_of
from app.http.edge.shapes import MoneyShape, MovedMoneySchema
from app.http.resources.orders import of_order
from app.services.money.refunds import WantedRefund
from app.services.pages.fragments import encode, moment
from repositories.records.idempotency import Answer
from repositories.records.orders import Refund

blp = Blueprint("refunds", "Refunds of orders")


class RefundDraftSchema(ma.Schema):
    amount = ma.fields.Nested(
        MovedMoneySchema,
        load_default=None,
        allow_none=True,
        metadata={"description": "default: all that is left of your share"},
    )
    reason = Prose(load_default="", validate=ma.validate.Length(max=500))
    restock = JsonBoolean(
        load_default=None,
        allow_none=True,
        metadata={"description": "whether to return units to stock; default: only if nothing is left of your share"},
    )


class RefundSchema(ma.Schema):
    """A refund. With `restock`, it put `units` of the seller's units back to stock: each of them at most once."""

    id = ma.fields.UUID(required=True)
    order_id = ma.fields.UUID(required=True)
    seller_id = ma.fields.UUID(required=True)
    amount = ma.fields.Nested(MoneyShape, required=True)
    reason = ma.fields.String(required=True)
    restock = ma.fields.Boolean(required=True)
    units = ma.fields.Integer(required=True)
    created_at = Moment(required=True)


RefundPage = page_of(RefundSchema, "RefundPage")


@blp.post("/orders/<uuid:order_id>/refunds")
@private
@budget(relational=18, sessions=1, cache=1)
@blp.arguments(RefundDraftSchema)
@blp.response(201, RefundSchema, headers=LOCATION)
@blp.raises(403, 404, 503)
@idempotent(required=True)
def create_refund(wanted: dict[str, Any], order_id: UUID) -> Answer:
    """Refund your share of an order, or a part of it, with or without returning units to stock. For sellers.

    When the whole share is refunded, the sub-order becomes `refunded`. Restocking returns the units that were not sent
    or, if all units were sent, the sent units.
    """
    return container().money.refunds.refund(caller(), order_id, WantedRefund(**wanted), receipt(_created))


@blp.get("/orders/<uuid:order_id>/refunds")
@private
@budget(relational=2, sessions=1)
@blp.arguments(PageQuery, location="query")
@blp.response(200, RefundPage)
@blp.raises(404)
def list_refunds(query: dict[str, Any], order_id: UUID) -> Response:
    """List the refunds of an order, newest first. The buyer sees all of them, a seller only their own."""
    return of_order("refunds", order_id, query, container().money.refunds.of_order, refund_body)


@blp.get("/orders/<uuid:order_id>/refunds/<uuid:refund_id>")
@private
@budget(relational=2, sessions=1)
@blp.response(200, RefundSchema)
@blp.raises(404)
def get_refund(order_id: UUID, refund_id: UUID) -> Response:
    """Get a refund. For the buyer of the order and the seller who made the refund."""
    return answers.thing(refund_body(container().money.refunds.read(caller(), order_id, refund_id)), 1)


def _created(refund: Refund) -> Response:
    return answers.thing(refund_body(refund), 1, 201, f"{BASE}/orders/{refund.order_id}/refunds/{refund.id}")


def refund_body(refund: Refund) -> bytes:
    return encode(
        {
            "id": refund.id,
            "order_id": refund.order_id,
            "seller_id": refund.seller_id,
            "amount": refund.amount,
            "reason": refund.reason,
            "restock": refund.restock,
            "units": refund.units,
            "created_at": moment(refund.created_at),
        }
    )
