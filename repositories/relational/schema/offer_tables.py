"""The table of offers: digests of the terms products are sold on, so that orders need not ask the documents."""

from sqlalchemy import BigInteger, CheckConstraint, Column, LargeBinary, Table

from repositories.relational.schema.columns import ID, TIME, partial_index
from repositories.relational.schema.tables import metadata

# `digest` is of what an order copies from a product, if known. `changing` is the highest version that a begun write of
# the product replaces, `begun_at` when the last write began, if its outcome is unknown.
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
