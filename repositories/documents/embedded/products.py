"""Products in SQLite: one row per product. Each attribute also has a row, with its text as filters and facets
compare it.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from repositories.documents.embedded.events import EmbeddedCarrier, append, array
from repositories.documents.embedded.versioned_writes import LOADED_AT_ONCE, check_version, encoded, integers_fit, query
from repositories.documents.port import ProductStore
from repositories.documents.times import micros
from repositories.records import (
    AttributeValue,
    Event,
    Facets,
    FacetValue,
    Product,
    ProductFilter,
    attribute_text,
)
from repositories.sqlite import SqliteFile


class EmbeddedProducts(ProductStore):
    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def add(self, product: Product, event: Event) -> None:
        with self._file.write() as connection:
            connection.execute(INSERT, _row(product))
            _describe(connection, str(product.id), product.attributes)
            append(connection, EmbeddedCarrier("product", str(product.id)), event)

    def get(self, ids: Collection[UUID]) -> dict[UUID, Product]:
        found = self._file.rows(BY_IDS, [array(ids)])
        products = [_product(document) for (document,) in found]
        return {product.id: product for product in products}

    def replace(self, product: Product, event: Event, *, if_version: int) -> None:
        with self._file.write() as connection:
            row = _row(product)
            check_version(connection, VERSION, str(product.id), if_version)
            connection.execute(UPDATE, row)
            _describe(connection, str(product.id), product.attributes)
            append(connection, EmbeddedCarrier("product", str(product.id)), event)

    def delete(self, product_id: UUID, event: Event, *, if_version: int) -> None:
        with self._file.write() as connection:
            check_version(connection, VERSION, str(product_id), if_version)
            _bury(connection, str(product_id), event)

    def delete_of(self, seller_id: UUID, announce: Callable[[Product], Event], *, limit: int) -> list[Product]:
        with self._file.write() as connection:
            found = connection.execute(OF_SELLER, (str(seller_id), "", limit)).fetchall()
            products = [_product(document) for (document,) in found]
            for product in products:
                _bury(connection, str(product.id), announce(product))
        return products

    def page(self, where: ProductFilter, *, before: UUID | None, limit: int) -> list[Product]:
        if limit < 1:
            return []
        sql, parameters = _newest(where, before=before, limit=limit)
        return [_product(document) for _, _, document in self._file.rows(sql, parameters)]

    def of_seller(self, seller_id: UUID, *, after: UUID | None, limit: int) -> list[Product]:
        found = self._file.rows(OF_SELLER, (str(seller_id), str(after or ""), max(limit, 0)))
        return [_product(document) for (document,) in found]

    def facets(self, where: ProductFilter, *, sample: int, values: int) -> Facets:
        if sample < 1 or values < 1:
            return Facets(0, (), {})
        newest, parameters = _newest(where, before=None, limit=sample)
        found = self._file.rows(COUNTED.replace("NEWEST", newest), [*parameters, values])
        facets: dict[tuple[str, str], list[FacetValue]] = {}
        for facet, name, text, count in found:
            facets.setdefault((facet, name), []).append(FacetValue(text, count))
        (counted,) = facets.pop(("all", ""))
        categories = tuple(facets.pop(("category", ""), ()))
        return Facets(counted.count, categories, {name: tuple(one) for (_, name), one in facets.items()})

    def load(self, products: Sequence[Product]) -> None:
        for start in range(0, len(products), LOADED_AT_ONCE):
            with self._file.write() as connection:
                for product in products[start : start + LOADED_AT_ONCE]:
                    if connection.execute(f"{INSERT} ON CONFLICT (id) DO NOTHING", _row(product)).rowcount:
                        _describe(connection, str(product.id), product.attributes)


INSERT = """
    INSERT INTO documents_products (id, category, price, version, document)
    VALUES (:id, :category, :price, :version, :document)
"""
UPDATE = """
    UPDATE documents_products SET category = :category, price = :price, version = :version, document = :document
    WHERE id = :id
"""
BURY = """
    UPDATE documents_products SET category = NULL, price = NULL, document = NULL, deleted_at = ? WHERE id = ?
"""
VERSION = "SELECT version = ? FROM documents_products WHERE id = ? AND deleted_at IS NULL"
BY_IDS = """
    SELECT document FROM documents_products
    WHERE id IN (SELECT value FROM json_each(?)) AND deleted_at IS NULL
"""
OF_SELLER = """
    SELECT document FROM documents_products
    WHERE json_extract(document, '$.seller_id') = ? AND id > ? AND deleted_at IS NULL ORDER BY id LIMIT ?
"""
NEWEST = "SELECT id, category, document FROM documents_products WHERE deleted_at IS NULL"
BEARS = "id IN (SELECT product_id FROM documents_attributes WHERE name = ? AND text = ?)"
COUNTED = """
    WITH newest AS MATERIALIZED (NEWEST), counted AS (
        SELECT 'all' AS facet, '' AS name, '' AS text, count(*) AS count FROM newest
        UNION ALL SELECT 'category', '', category, count(*) FROM newest GROUP BY category
        UNION ALL SELECT 'attribute', name, text, count(*)
        FROM newest CROSS JOIN documents_attributes ON product_id = id GROUP BY name, text
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY facet, name ORDER BY count DESC, text) AS rank FROM counted
    )
    SELECT facet, name, text, count FROM ranked WHERE rank <= ? ORDER BY facet, name, rank
"""


def _newest(where: ProductFilter, *, before: UUID | None, limit: int) -> tuple[str, list[object]]:
    which = {
        "category = ?": where.category,
        "price >= ?": where.price_min,
        "price <= ?": where.price_max,
        "id < ?": None if before is None else str(before),
    }
    bears = " AND ".join((NEWEST, *[BEARS] * len(where.attributes)))
    sql, parameters = query(bears, which, "ORDER BY id DESC", limit)
    return sql, [text for pair in where.attributes for text in pair] + parameters


def _bury(connection: sqlite3.Connection, product_id: str, event: Event) -> None:
    connection.execute(BURY, (micros(event.happened_at), product_id))
    _describe(connection, product_id, {})
    append(connection, EmbeddedCarrier("product", product_id), event)


def _describe(connection: sqlite3.Connection, product_id: str, attributes: Mapping[str, AttributeValue]) -> None:
    """Let the product be found by these attributes and no others."""
    connection.execute("DELETE FROM documents_attributes WHERE product_id = ?", (product_id,))
    rows: Iterable[tuple[str, str, str]] = [(n, attribute_text(v), product_id) for n, v in attributes.items()]
    connection.executemany("INSERT INTO documents_attributes VALUES (?, ?, ?)", rows)


def _row(product: Product) -> dict[str, object]:
    integers_fit(product.attributes.values())
    return {
        "id": str(product.id),
        "category": product.category,
        "price": product.price.amount,
        "version": product.version,
        "document": encoded(product),
    }


def _product(document: str) -> Product:
    return msgspec.json.decode(document, type=Product)
