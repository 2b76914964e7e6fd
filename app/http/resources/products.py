"""`/products`: the catalogue, with filters and facets."""

import re
from typing import Any, cast
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.errors import Missing
from app.http.edge import answers
from app.http.edge.blueprint import BASE, LOCATION, Blueprint, budget, private, public
from app.http.edge.caching import shared
from app.http.edge.conditions import if_match
from app.http.edge.deps import caller, container, cursors
from app.http.edge.fields import INT64, AttributeField, Attributes, Int, Line, Moment, Prose
from app.http.edge.idempotency import idempotent, reserved
from app.http.edge.paging import PageQuery, by_id, page_of
from app.http.edge.shapes import AccountSchema, MoneySchema, MoneyShape
from app.http.whole_pages.public_hits import hot, kept_list, kept_thing
from app.services.content.products import ProductChanges, ProductDraft
from app.services.pages.kinds import Used
from app.services.pages.whole_pages import WholePage
from repositories.records.products import Product, ProductFilter

blp = Blueprint("products", "The catalogue")

FACET_SAMPLE = 10_000
FACET_VALUES = 20
# The names `attr.NAME`, and `attr[NAME]`, which generated clients send.
ATTRIBUTE = re.compile(r"attr(?:\.(.*)|\[(.*)\])", re.DOTALL)


class ProductDraftSchema(ma.Schema):
    title = Line(required=True, validate=ma.validate.Length(1, 200))
    description = Prose(load_default="", validate=ma.validate.Length(max=20_000))
    category = Line(required=True, validate=ma.validate.Length(1, 40))
    price = ma.fields.Nested(MoneySchema, required=True)
    attributes = Attributes(load_default=dict)


class ProductChangesSchema(ma.Schema):
    title = Line(validate=ma.validate.Length(1, 200))
    description = Prose(validate=ma.validate.Length(max=20_000))
    category = Line(validate=ma.validate.Length(1, 40))
    price = ma.fields.Nested(MoneySchema)
    attributes = Attributes()


class ProductSchema(ma.Schema):
    id = ma.fields.UUID(required=True)
    seller_id = ma.fields.UUID(required=True)
    title = ma.fields.String(required=True)
    description = ma.fields.String(required=True)
    category = ma.fields.String(required=True)
    price = ma.fields.Nested(MoneyShape, required=True)
    attributes = ma.fields.Dict(keys=ma.fields.String(), values=AttributeField(), required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)
    version = ma.fields.Integer(required=True)


class StockSchema(ma.Schema):
    available = ma.fields.Integer(required=True)


class ProductCardSchema(ma.Schema):
    product = ma.fields.Nested(ProductSchema, required=True)
    seller = ma.fields.Nested(AccountSchema, required=True)
    stock = ma.fields.Nested(StockSchema, required=True)


class FacetValueSchema(ma.Schema):
    value = ma.fields.String(required=True)
    count = ma.fields.Integer(required=True)


class FacetsSchema(ma.Schema):
    """Counts of the 20 most frequent values of each facet, over the newest matching products, at most 10,000."""

    counted = ma.fields.Integer(required=True)
    category = ma.fields.List(ma.fields.Nested(FacetValueSchema), required=True)
    attributes = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.List(ma.fields.Nested(FacetValueSchema)), required=True
    )


ProductPage = page_of(ProductCardSchema, "ProductPage", facets=ma.fields.Nested(FacetsSchema))


class ProductQuery(PageQuery):
    """Filters of products. `attr.NAME=value` or `attr[NAME]=value` filters by an attribute; all filters must match."""

    category = Line(load_default=None, validate=ma.validate.Length(1, 40))
    price_min = Int(load_default=None, validate=ma.validate.Range(0, INT64))
    price_max = Int(load_default=None, validate=ma.validate.Range(0, INT64))
    facets = ma.fields.Boolean(
        truthy={"true"},
        falsy={"false"},
        load_default=False,
        metadata={"description": "whether to include counts by category and attribute"},
    )
    attributes = Attributes(load_default=dict, metadata={"description": "`attr[NAME]=value` or `attr.NAME=value`"})

    @ma.pre_load
    def _gather(self, data: Any, **_: Any) -> dict[str, Any]:
        """Collect the `attr.NAME` parameters, whose names the client chooses, under one field."""
        found = {name: ATTRIBUTE.fullmatch(name) for name in data}
        plain = {name: data[name] for name, match in found.items() if not match}
        named = {match[1] or match[2] or "": data[name] for name, match in found.items() if match}
        if len(plain) + len(named) < len(found):
            raise ma.ValidationError("An attribute is named twice.")
        return {**plain, "attributes": named} if named else plain


@blp.post("/products")
@private
@budget(relational=9, documents=1, sessions=1, cache=4)
@blp.arguments(ProductDraftSchema)
@blp.response(201, ProductCardSchema, headers=LOCATION)
@idempotent()
def create_product(draft: dict[str, Any]) -> Response:
    """Create a product and offer it for sale."""
    product = container().content.products.offer(caller(), ProductDraft(**draft), reserved())
    card = container().pages.cards.new_product(product)
    return answers.thing(card.body, card.version, 201, f"{BASE}/products/{product.id}")


@blp.get("/products")
@public
@shared(10, 10)
@budget(relational=2, documents=2, sessions=1, cache=12)
@blp.arguments(ProductQuery, location="query")
@blp.response(200, ProductPage)
def list_products(query: dict[str, Any]) -> Response:
    """List products, newest first. All filters must match; `attr.NAME=value` filters by an attribute."""
    where = ProductFilter(
        query["category"], tuple(sorted(query["attributes"].items())), query["price_min"], query["price_max"]
    )
    scope, limit = f"products:{where}", query["limit"]
    if query["cursor"] is None and not query["facets"] and where == ProductFilter(where.category):
        return hot(lambda used: _first_page(scope, limit, where.category, used))
    products = container().stores.documents.products
    found = products.page(where, before=cursors().id(scope, query["cursor"]), limit=limit + 1)
    onward = cursors().onward(scope, found, limit, by_id)
    cards = [card.body for card in container().pages.cards.products_read(found[:limit])]
    if not query["facets"]:
        return answers.page(cards, onward)
    facets = products.facets(where, sample=FACET_SAMPLE, values=FACET_VALUES)
    counts = {"counted": facets.counted, "category": facets.categories, "attributes": facets.attributes}
    return answers.page(cards, onward, facets=counts)


@blp.get("/products/<uuid:product_id>")
@public
@shared(10, 10)
@budget(relational=2, documents=1, sessions=1, cache=9)
@blp.response(200, ProductCardSchema)
@blp.raises(404)
def get_product(product_id: UUID) -> Response:
    """Get a product."""
    return hot(lambda used: _made(product_id, used))


@blp.patch("/products/<uuid:product_id>")
@private
@budget(relational=8, documents=2, sessions=1, cache=4)
@blp.arguments(ProductChangesSchema)
@blp.response(200, ProductCardSchema)
@blp.conditional
@blp.raises(403, 404)
def update_product(changes: dict[str, Any], product_id: UUID) -> Response:
    """Change your own product. Requires If-Match."""
    return _card(container().content.products.edit(caller(), product_id, cast("ProductChanges", changes), if_match()))


@blp.delete("/products/<uuid:product_id>")
@private
@budget(relational=3, documents=2, sessions=1, cache=1)
@blp.response(204)
@blp.conditional
@blp.raises(403, 404)
def delete_product(product_id: UUID) -> Response:
    """Withdraw your own product from sale. Requires If-Match."""
    container().content.products.withdraw(caller(), product_id, if_match())
    return answers.nothing()


def _card(product: Product) -> Response:
    (card,) = container().pages.cards.products_read([product])
    return answers.thing(card.body, card.version)


def _made(product_id: UUID, used: Used | None) -> WholePage:
    cards = container().pages.cards.products([product_id], used)
    if not cards:
        raise Missing("there is no such product")
    return kept_thing(cards[0])


def _first_page(scope: str, limit: int, category: str | None, used: Used | None) -> WholePage:
    ids = container().pages.first.products(limit, category, used)
    cards = container().pages.cards.products(ids.ids, used)
    return kept_list([card.body for card in cards], cursors().issue(scope, [str(ids.onward)] if ids.onward else None))
