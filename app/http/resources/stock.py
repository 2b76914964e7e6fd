"""`/products/{product_id}/stock`: units on hand, for the seller. Documented beside products."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import budget, private
from app.http.edge.conditions import if_match
from app.http.edge.deps import caller, container
from app.http.edge.fields import INT64, JsonInt
from app.http.resources.products import blp
from app.services.commands.precondition import Precondition
from app.services.pages.fragments import encode
from app.services.pages.whole_pages import tag_of
from repositories.records.orders import Stock


class StockChangeSchema(ma.Schema):
    on_hand = JsonInt(required=True, validate=ma.validate.Range(0, INT64))


class StockDeltaSchema(ma.Schema):
    delta = JsonInt(required=True, validate=ma.validate.Range(-INT64, INT64))


class StockLevelSchema(ma.Schema):
    """Stock of a product. Of the units `on_hand`, those that orders hold are `reserved`, the others `available`."""

    on_hand = ma.fields.Integer(required=True)
    reserved = ma.fields.Integer(required=True)
    available = ma.fields.Integer(required=True)
    sold = ma.fields.Integer(required=True)
    version = ma.fields.Integer(required=True)


@blp.get("/products/<uuid:product_id>/stock")
@private
@budget(relational=1, documents=1, sessions=1)
@blp.response(200, StockLevelSchema)
@blp.raises(403, 404)
def get_stock(product_id: UUID) -> Response:
    """Get the stock of your own product. Use its entity tag as If-Match when changing the stock."""
    return _stock(container().content.products.stock(caller(), product_id))


@blp.put("/products/<uuid:product_id>/stock")
@private
@budget(relational=7, documents=1, sessions=1, cache=1)
@blp.arguments(StockChangeSchema)
@blp.response(200, StockLevelSchema)
@blp.conditional
@blp.raises(403, 404, 409)
def set_stock(stock: dict[str, Any], product_id: UUID) -> Response:
    """Set the units on hand of your own product, including reserved ones. Requires the stock's tag as If-Match."""
    before, condition = _expected(product_id)
    version = None if condition.any else before.version
    return _stock(container().content.products.put_stock(before, stock["on_hand"], if_version=version))


@blp.patch("/products/<uuid:product_id>/stock")
@private
@budget(relational=6, documents=1, sessions=1, cache=1)
@blp.arguments(StockDeltaSchema)
@blp.response(200, StockLevelSchema)
@blp.conditional
@blp.raises(403, 404, 409, 503)
def adjust_stock(stock: dict[str, Any], product_id: UUID) -> Response:
    """Add units to the stock of your own product, or remove some. Requires the stock's entity tag as If-Match.

    With `*` the units are added to the current stock, so repeating the request adds them twice.
    """
    before, condition = _expected(product_id)
    return _stock(container().content.products.add_stock(before, stock["delta"], anyhow=condition.any))


def _expected(product_id: UUID) -> tuple[Stock, Precondition]:
    """The current stock and the request's If-Match, after checking that they match. Raises as `check_whole` does."""
    before, condition = container().content.products.stock(caller(), product_id), if_match()
    condition.check_whole(tag_of(_level_part(before), before.version))
    return before, condition


def _stock(level: Stock) -> Response:
    return answers.thing(_level_part(level), level.version)


def _level_part(level: Stock) -> bytes:
    return encode(
        {
            "on_hand": level.on_hand,
            "reserved": level.reserved,
            "available": level.available,
            "sold": level.sold,
            "version": level.version,
        }
    )
