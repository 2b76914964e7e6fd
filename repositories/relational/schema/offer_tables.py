"""The table of offers: what a server may take for a product without asking the documents."""

from sqlalchemy import BigInteger, CheckConstraint, Column, LargeBinary, Table

from repositories.relational.schema.columns import ID, TIME, partial_index
from repositories.relational.schema.tables import metadata

# `digest` is of what an order copies from a product, where that is known; `changing` the highest version from which a
# write of the product has begun, `begun_at` when the last one did whose end is not known.
offers = Table(
    "offers",
    metadata,
    Column("product_id", ID, primary_key=True),
    Column("changing", BigInteger, CheckConstraint("changing >= 0"), nullable=False),
    Column("digest", LargeBinary),
    Column("begun_at", TIME),
    CheckConstraint("digest IS NULL OR begun_at IS NULL", name="offers_known"),
)
partial_index("offers_begun", offers.c.begun_at, offers.c.product_id, where=offers.c.begun_at.is_not(None))
