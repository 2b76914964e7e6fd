"""`/orders/{order_id}/shipments` and a seller's other operations on a sub-order; and the history of an order."""

from collections import Counter
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import BASE, LOCATION, Blueprint, budget, private
from app.http.edge.deps import caller, container, cursors
from app.http.edge.fields import INT64, JsonInt, Moment, Prose
from app.http.edge.idempotency import idempotent, receipt
from app.http.edge.paging import PageQuery, by_time, page_of
from app.http.resources.orders import OrderSchema, of_order, order_answer
from app.services.money.fulfilment import WantedShipment
from app.services.pages.fragments import encode, moment
from repositories.records.idempotency import Answer
from repositories.records.orders import OrderStep, Shipment

blp = Blueprint("fulfilment", "Sub-orders: shipped or refused by their sellers")

KINDS = ("placed", "paid", "shipped", "refused", "cancelled", "refunded")


class ShippedLineSchema(ma.Schema):
    number = JsonInt(required=True, validate=ma.validate.Range(1, INT64))
    quantity = JsonInt(required=True, validate=ma.validate.Range(1, INT64))


class ShipmentDraftSchema(ma.Schema):
    lines = ma.fields.List(
        ma.fields.Nested(ShippedLineSchema),
        load_default=None,
        allow_none=True,
        validate=ma.validate.Length(1, 100),
        metadata={
            "description": "units by line number of the order; a number may occur more than once; "
            "default: all units not sent yet"
        },
    )
    reference = Prose(
        load_default="",
        validate=ma.validate.Length(max=200),
        metadata={"description": "the carrier's reference, shown to the buyer"},
    )


class RefusalSchema(ma.Schema):
    reason = Prose(load_default="", validate=ma.validate.Length(max=500))


class ShipmentSchema(ma.Schema):
    id = ma.fields.UUID(required=True)
    order_id = ma.fields.UUID(required=True)
    seller_id = ma.fields.UUID(required=True)
    lines = ma.fields.List(ma.fields.Nested(ShippedLineSchema), required=True)
    reference = ma.fields.String(required=True)
    created_at = Moment(required=True)


class StepSchema(ma.Schema):
    """A step of an order's history. `seller_id` is null if the step concerns the order as a whole."""

    at = Moment(required=True)
    kind = ma.fields.String(required=True, validate=ma.validate.OneOf(KINDS))
    seller_id = ma.fields.UUID(required=True, allow_none=True)
    shipment_id = ma.fields.UUID(required=True, allow_none=True)
    refund_id = ma.fields.UUID(required=True, allow_none=True)


ShipmentPage = page_of(ShipmentSchema, "ShipmentPage")
HistoryPage = page_of(StepSchema, "HistoryPage")


@blp.post("/orders/<uuid:order_id>/fulfil")
@private
@budget(relational=15, sessions=1)
@blp.response(200, OrderSchema)
@blp.raises(403, 404, 503)
@idempotent(required=True)
def fulfil_order(order_id: UUID) -> Answer:
    """Mark your sub-order as sent completely: creates a shipment of all remaining units. For sellers."""
    return container().money.fulfilment.fulfil(caller(), order_id, receipt(order_answer))


@blp.post("/orders/<uuid:order_id>/refuse")
@private
@budget(relational=19, sessions=1, cache=1)
@blp.arguments(RefusalSchema)
@blp.response(200, OrderSchema)
@blp.raises(403, 404, 503)
@idempotent(required=True)
def refuse_order(wanted: dict[str, Any], order_id: UUID) -> Answer:
    """Refuse your sub-order before anything is sent: frees its units and returns the buyer's money. For sellers."""
    return container().money.fulfilment.refuse(caller(), order_id, wanted["reason"], receipt(order_answer))


@blp.post("/orders/<uuid:order_id>/shipments")
@private
@budget(relational=14, sessions=1)
@blp.arguments(ShipmentDraftSchema)
@blp.response(201, ShipmentSchema, headers=LOCATION)
@blp.raises(403, 404, 503)
@idempotent(required=True)
def create_shipment(wanted: dict[str, Any], order_id: UUID) -> Answer:
    """Record units you have sent. When no units remain, your sub-order becomes `fulfilled`. For sellers."""
    shipment = WantedShipment(_units(wanted["lines"]), wanted["reference"])
    return container().money.fulfilment.ship(caller(), order_id, shipment, receipt(_created))


def _units(lines: list[dict[str, int]] | None) -> dict[int, int] | None:
    if lines is None:
        return None
    units = Counter[int]()
    for line in lines:
        units[line["number"]] += line["quantity"]
    return dict(units)


@blp.get("/orders/<uuid:order_id>/shipments")
@private
@budget(relational=2, sessions=1)
@blp.arguments(PageQuery, location="query")
@blp.response(200, ShipmentPage)
@blp.raises(404)
def list_shipments(query: dict[str, Any], order_id: UUID) -> Response:
    """List the shipments of an order, newest first. The buyer sees all of them, a seller only their own."""
    return of_order("shipments", order_id, query, container().money.fulfilment.of_order, shipment_body)


@blp.get("/orders/<uuid:order_id>/shipments/<uuid:shipment_id>")
@private
@budget(relational=2, sessions=1)
@blp.response(200, ShipmentSchema)
@blp.raises(404)
def get_shipment(order_id: UUID, shipment_id: UUID) -> Response:
    """Get a shipment. For the buyer of the order and the seller who sent it."""
    return answers.thing(shipment_body(container().money.fulfilment.read(caller(), order_id, shipment_id)), 1)


@blp.get("/orders/<uuid:order_id>/history")
@private
@budget(relational=2, sessions=1)
@blp.arguments(PageQuery, location="query")
@blp.response(200, HistoryPage)
@blp.raises(404)
def list_order_history(query: dict[str, Any], order_id: UUID) -> Response:
    """List the steps of an order, oldest first. The buyer sees all of them, a seller those of their own sub-order."""
    account, limit = caller(), query["limit"]
    scope = f"history:{order_id}:{account}"
    after = cursors().time(scope, query["cursor"])
    found = container().money.fulfilment.history(account, order_id, after=after, limit=limit + 1)
    onward = cursors().onward(scope, found, limit, lambda last: by_time(last.at, last.id))
    return answers.page(map(_step, found[:limit]), onward)


def _created(shipment: Shipment) -> Response:
    where = f"{BASE}/orders/{shipment.order_id}/shipments/{shipment.id}"
    return answers.thing(shipment_body(shipment), 1, 201, where)


def shipment_body(shipment: Shipment) -> bytes:
    return encode(
        {
            "id": shipment.id,
            "order_id": shipment.order_id,
            "seller_id": shipment.seller_id,
            "lines": [{"number": number, "quantity": units} for number, units in shipment.units],
            "reference": shipment.reference,
            "created_at": moment(shipment.created_at),
        }
    )


def _step(step: OrderStep) -> bytes:
    return encode(
        {
            "at": moment(step.at),
            "kind": step.kind,
            "seller_id": step.seller_id,
            "shipment_id": step.id if step.kind == "shipped" else None,
            "refund_id": step.id if step.kind == "refunded" else None,
        }
    )
