"""create the table of offers of products

An offer says what a server may sell a product for without asking the documents. The table is empty at first, which
means that the documents are asked. Earlier versions change products without recording it here. The event of the change
does, and a server forgets what it knows of a product after a minute.
"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, TIME

revision = "0025"
down_revision: str | None = "0024"


def upgrade() -> None:
    op.create_table(
        "offers",
        sa.Column("product_id", ID, primary_key=True),
        sa.Column("changing", sa.BigInteger, sa.CheckConstraint("changing >= 0"), nullable=False),
        sa.Column("digest", sa.LargeBinary),
        sa.Column("begun_at", TIME),
        sa.CheckConstraint("digest IS NULL OR begun_at IS NULL", name="offers_known"),
    )
    begun = sa.text("begun_at IS NOT NULL")
    op.create_index("offers_begun", "offers", ["begun_at", "product_id"], postgresql_where=begun, sqlite_where=begun)


def downgrade() -> None:
    op.drop_table("offers")
