"""Products in SQL: one row per product. Each attribute also has a row, with its value as the text that filters and
facets compare.
"""

from collections.abc import Callable, Collection, Sequence
from uuid import UUID

import msgspec

from repositories.documents.port import ProductStore
from repositories.documents.sql.events import SqlCarrier, append
from repositories.documents.sql.versioned_writes import at_once, check_changed, encoded, integers_fit, query
from repositories.documents.times import micros
from repositories.records.events import Event
from repositories.records.products import Facets, FacetValue, Product, ProductFilter, attribute_text
from repositories.sql import SqlDatabase, SqlWork


class SqlProducts(ProductStore):
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def add(self, product: Product, event: Event) -> None:
        with self._database.write() as work:
            work.execute(INSERT, product_row(product))
            work.executemany(INSERT_ATTRIBUTE, attribute_rows(product))
            append(work, SqlCarrier("product", product.id), event)

    def get(self, ids: Collection[UUID]) -> dict[UUID, Product]:
        found = self._database.rows(BY_IDS, [list(ids)])
        products = [_product(document) for (document,) in found]
        return {product.id: product for product in products}

    def replace(self, product: Product, event: Event, *, if_version: int) -> None:
        with self._database.write() as work:
            update = work.execute(UPDATE, {**product_row(product), "if_version": if_version})
            check_changed(work, update, LIVE, product.id)
            _replace_attributes(work, product)
            append(work, SqlCarrier("product", product.id), event)

    def delete(self, product_id: UUID, event: Event, *, if_version: int) -> None:
        with self._database.write() as work:
            update = work.execute(f"{BURY} AND version = ?", (micros(event.happened_at), product_id, if_version))
            check_changed(work, update, LIVE, product_id)
            _forget(work, product_id, event)

    def delete_of(self, seller_id: UUID, announce: Callable[[Product], Event], *, limit: int) -> list[Product]:
        with self._database.write() as work:
            found = work.execute(OF_SELLER, (seller_id, UUID(int=0), limit)).fetchall()
            products = [_product(document) for (document,) in found]
            for product in products:
                event = announce(product)
                if work.execute(BURY, (micros(event.happened_at), product.id)).rowcount:
                    _forget(work, product.id, event)
        return products

    def page(self, where: ProductFilter, *, before: UUID | None, limit: int) -> list[Product]:
        if limit < 1:
            return []
        sql, parameters = _newest(where, before=before, limit=limit)
        return [_product(document) for _, _, document in self._database.rows(sql, parameters)]

    def of_seller(self, seller_id: UUID, *, after: UUID | None, limit: int) -> list[Product]:
        found = self._database.rows(OF_SELLER, (seller_id, after or UUID(int=0), max(limit, 0)))
        return [_product(document) for (document,) in found]

    def facets(self, where: ProductFilter, *, sample: int, values: int) -> Facets:
        if sample < 1 or values < 1:
            return Facets(0, (), {})
        newest, parameters = _newest(where, before=None, limit=sample)
        found = self._database.rows(COUNTED.replace("NEWEST", newest), [*parameters, values])
        facets: dict[tuple[str, str], list[FacetValue]] = {}
        for facet, name, text, count in found:
            facets.setdefault((facet, name), []).append(FacetValue(text, count))
        (counted,) = facets.pop(("all", ""))
        categories = tuple(facets.pop(("category", ""), ()))
        return Facets(counted.count, categories, {name: tuple(one) for (_, name), one in sorted(facets.items())})

    def load(self, products: Sequence[Product]) -> None:
        for some in at_once(products, key=lambda product: product.id):
            with self._database.write() as work:
                self._load(work, some)

    def _load(self, work: SqlWork, products: Sequence[Product]) -> None:
        for product in products:
            if work.execute(f"{INSERT} ON CONFLICT (id) DO NOTHING", product_row(product)).rowcount:
                _replace_attributes(work, product)


INSERT = """
    INSERT INTO documents_products (id, seller_id, category, price, version, document)
    VALUES (:id, :seller_id, :category, :price, :version, :document)
"""
UPDATE = """
    UPDATE documents_products
    SET seller_id = :seller_id, category = :category, price = :price, version = :version, document = :document
    WHERE id = :id AND deleted_at IS NULL AND version = :if_version
"""
BURY = """
    UPDATE documents_products
    SET seller_id = NULL, category = NULL, price = NULL, document = NULL, deleted_at = ?
    WHERE id = ? AND deleted_at IS NULL
"""
LIVE = "SELECT 1 FROM documents_products WHERE id = ? AND deleted_at IS NULL"
INSERT_ATTRIBUTE = "INSERT INTO documents_attributes (name, text, product_id) VALUES (?, ?, ?)"
DELETE_ATTRIBUTES = "DELETE FROM documents_attributes WHERE product_id = ?"
BY_IDS = "SELECT document FROM documents_products WHERE id = ANY (?) AND deleted_at IS NULL"
OF_SELLER = """
    SELECT document FROM documents_products
    WHERE seller_id = ? AND id > ? AND deleted_at IS NULL ORDER BY id LIMIT ?
"""
NEWEST = "SELECT id, category, document FROM documents_products WHERE deleted_at IS NULL"
BEARS = "id IN (SELECT product_id FROM documents_attributes WHERE name = ? AND text = ?)"
COUNTED = """
    WITH newest AS MATERIALIZED (NEWEST), counted AS (
        SELECT 'all' AS facet, '' AS name, '' AS text, count(*) AS count FROM newest
        UNION ALL SELECT 'category', '', category, count(*) FROM newest GROUP BY category
        UNION ALL SELECT 'attribute', name, text, count(*)
        FROM newest CROSS JOIN documents_attributes WHERE product_id = id GROUP BY name, text
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
        "id < ?": before,
    }
    bears = " AND ".join((NEWEST, *[BEARS] * len(where.attributes)))
    sql, parameters = query(bears, which, "ORDER BY id DESC", limit)
    return sql, [text for pair in where.attributes for text in pair] + parameters


def product_row(product: Product) -> dict[str, object]:
    integers_fit(product.attributes.values())
    return {
        "id": product.id,
        "seller_id": product.seller_id,
        "category": product.category,
        "price": product.price.amount,
        "version": product.version,
        "document": encoded(product),
    }


def attribute_rows(product: Product) -> list[tuple[str, str, UUID]]:
    return [(name, attribute_text(value), product.id) for name, value in product.attributes.items()]


def _replace_attributes(work: SqlWork, product: Product) -> None:
    """Replace the stored attribute rows of the product."""
    work.execute(DELETE_ATTRIBUTES, (product.id,))
    work.executemany(INSERT_ATTRIBUTE, attribute_rows(product))


def _forget(work: SqlWork, product_id: UUID, event: Event) -> None:
    work.execute(DELETE_ATTRIBUTES, (product_id,))
    append(work, SqlCarrier("product", product_id), event)


def _product(document: bytes | str) -> Product:
    return msgspec.json.decode(document, type=Product)
