"""Products in PostgreSQL: overrides of the common SQL statements."""

from collections.abc import Sequence

from repositories.documents.sql.products import SqlProducts, attribute_rows, product_row
from repositories.records.products import Product
from repositories.sql import SqlWork


class PostgresProducts(SqlProducts):
    def _load(self, work: SqlWork, products: Sequence[Product]) -> None:
        rows = [product_row(product) for product in products]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        attributes = list(zip(*(row for product in products for row in attribute_rows(product)), strict=True))
        names, texts, of = attributes or ((), (), ())
        work.execute(LOAD, {**columns, "names": list(names), "texts": list(texts), "of": list(of)})


LOAD = """
    WITH added AS (
        INSERT INTO documents_products (id, seller_id, category, price, version, document)
        SELECT * FROM unnest(
            :id::uuid[], :seller_id::uuid[], :category::text[], :price::bigint[], :version::bigint[], :document::bytea[]
        )
        ON CONFLICT (id) DO NOTHING RETURNING id
    )
    INSERT INTO documents_attributes (name, text, product_id)
    SELECT name, text, product_id FROM unnest(:names::text[], :texts::text[], :of::uuid[]) AS a (name, text, product_id)
    JOIN added ON added.id = product_id
    ON CONFLICT (name, text, product_id) DO NOTHING
"""
