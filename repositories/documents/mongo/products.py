"""Products in MongoDB. Attributes are an array, so that one index serves all names: `n` is the name, `v` the value as
given, `t` its text, which filters and facets compare.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import UUID

from bson.int64 import Int64

from repositories.batched import batched
from repositories.documents.mongo import versioned_writes
from repositories.documents.mongo.client import Document, MongoConnection
from repositories.documents.mongo.demotion import follows_primary
from repositories.documents.mongo.events import born_with
from repositories.documents.mongo.versioned_writes import LIVE, LOADED_AT_ONCE
from repositories.documents.port import ProductStore
from repositories.documents.times import micros, moment
from repositories.records.events import Event
from repositories.records.money import Money
from repositories.records.products import AttributeValue, Facets, FacetValue, Product, ProductFilter, attribute_text


@follows_primary
class MongoProducts(ProductStore):
    def __init__(self, connection: MongoConnection) -> None:
        self._connection = connection

    def add(self, product: Product, event: Event) -> None:
        with self._connection.calling():
            self._products.insert_one(document_of(product) | born_with(event))

    def get(self, ids: Collection[UUID]) -> dict[UUID, Product]:
        with self._connection.calling():
            found = [product_of(one) for one in self._products.find({"_id": {"$in": list(ids)}, **LIVE}, FIELDS)]
        return {product.id: product for product in found}

    def replace(self, product: Product, event: Event, *, if_version: int) -> None:
        with self._connection.calling():
            versioned_writes.replace(self._products, document_of(product), event, if_version=if_version)

    def delete(self, product_id: UUID, event: Event, *, if_version: int) -> None:
        with self._connection.calling():
            versioned_writes.delete(self._products, product_id, event, if_version=if_version)

    def delete_of(self, seller_id: UUID, announce: Callable[[Product], Event], *, limit: int) -> list[Product]:
        with self._connection.calling():
            found = self._products.find({"seller_id": seller_id, **LIVE}, FIELDS).sort("_id").limit(limit)
            products = [product_of(one) for one in found]
            versioned_writes.bury(self._products, [(product.id, announce(product)) for product in products])
        return products

    def page(self, where: ProductFilter, *, before: UUID | None, limit: int) -> list[Product]:
        if limit < 1:
            return []
        which = _matching(where) | ({} if before is None else {"_id": {"$lt": before}})
        with self._connection.calling():
            return [product_of(one) for one in self._products.find(which, FIELDS).sort("_id", -1).limit(limit)]

    def of_seller(self, seller_id: UUID, *, after: UUID | None, limit: int) -> list[Product]:
        if limit < 1:
            return []
        which = {"seller_id": seller_id, **LIVE} | ({} if after is None else {"_id": {"$gt": after}})
        with self._connection.calling():
            return [product_of(one) for one in self._products.find(which, FIELDS).sort("_id").limit(limit)]

    def facets(self, where: ProductFilter, *, sample: int, values: int) -> Facets:
        if sample < 1 or values < 1:
            return Facets(0, (), {})
        newest: list[Document] = [{"$match": _matching(where)}, {"$sort": {"_id": -1}}, {"$limit": sample}]
        with self._connection.calling():
            found = list(self._products.aggregate([*newest, *COUNTED, _most_frequent(values)]))
        facets = {(one["_id"]["facet"], one["_id"]["name"]): _values(one["values"]) for one in found}
        counted = facets.pop(("all", ""), ())
        return Facets(
            counted=counted[0].count if counted else 0,
            categories=facets.pop(("category", ""), ()),
            attributes={name: values for (_, name), values in sorted(facets.items())},
        )

    def load(self, products: Sequence[Product]) -> None:
        for some in batched(products, LOADED_AT_ONCE):
            with self._connection.calling():
                versioned_writes.load(self._products, [document_of(product) for product in some])

    @property
    def _products(self) -> versioned_writes.Documents:
        return self._connection.collection("products")


FIELDS = dict.fromkeys(
    (
        *("seller_id", "title", "description", "category", "price", "attributes"),
        *("created_at", "updated_at", "version"),
    ),
    1,
)
ALL = {"facet": "all", "name": "", "text": ""}
CATEGORY = {"facet": "category", "name": "", "text": "$category"}
ATTRIBUTE = {"facet": "attribute", "name": "$$one.n", "text": "$$one.t"}
EACH_ATTRIBUTE = {"$map": {"input": "$attributes", "as": "one", "in": ATTRIBUTE}}
COUNTED: list[Document] = [
    {"$project": {"_id": 0, "bears": {"$concatArrays": [[ALL, CATEGORY], EACH_ATTRIBUTE]}}},
    {"$unwind": "$bears"},
    {"$group": {"_id": "$bears", "count": {"$sum": 1}}},
    {"$sort": {"count": -1, "_id.text": 1}},
]


def _most_frequent(values: int) -> Document:
    first = {"$firstN": {"n": values, "input": {"text": "$_id.text", "count": "$count"}}}
    return {"$group": {"_id": {"facet": "$_id.facet", "name": "$_id.name"}, "values": first}}


def _values(found: Sequence[Document]) -> tuple[FacetValue, ...]:
    return tuple(FacetValue(one["text"], one["count"]) for one in found)


def _matching(where: ProductFilter) -> Document:
    which: Document = dict(LIVE)
    if where.category is not None:
        which["category"] = where.category
    if where.attributes:
        which["$and"] = [{"attributes": {"$elemMatch": {"n": n, "t": t}}} for n, t in where.attributes]
    price = {"$gte": where.price_min, "$lte": where.price_max}
    price = {operator: bound for operator, bound in price.items() if bound is not None}
    return which | ({"price.amount": price} if price else {})


def document_of(product: Product) -> Document:
    return {
        "_id": product.id,
        "seller_id": product.seller_id,
        "title": product.title,
        "description": product.description,
        "category": product.category,
        "price": {"amount": product.price.amount, "currency": product.price.currency},
        "attributes": [{"n": n, "v": v, "t": attribute_text(v)} for n, v in product.attributes.items()],
        "created_at": micros(product.created_at),
        "updated_at": micros(product.updated_at),
        "version": product.version,
    }


def product_of(found: Document) -> Product:
    return Product(
        id=found["_id"],
        seller_id=found["seller_id"],
        title=found["title"],
        description=found["description"],
        category=found["category"],
        price=Money(int(found["price"]["amount"]), found["price"]["currency"]),
        attributes={one["n"]: _plain(one["v"]) for one in found["attributes"]},
        created_at=moment(found["created_at"]),
        updated_at=moment(found["updated_at"]),
        version=int(found["version"]),
    )


def _plain(value: Any) -> AttributeValue:
    plain: AttributeValue = int(value) if isinstance(value, Int64) else value
    return plain
