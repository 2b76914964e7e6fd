"""create a chain over the heads of all orders, which anchors include

The first anchor after it adds all existing sub-orders. Earlier versions move sub-orders as before, and make anchors
without that end.
"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID

revision = "0028"
down_revision: str | None = "0027"


def upgrade() -> None:
    op.create_table(
        "order_heads",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("order_id", ID, nullable=False),
        sa.Column("seller_id", ID, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
    )
    op.create_index("order_heads_order", "order_heads", ["order_id", "number"])
    op.add_column("sub_orders", sa.Column("noted", sa.BigInteger, nullable=False, server_default="0"))
    where = sa.text("noted < version")
    op.create_index(
        "sub_orders_unnoted", "sub_orders", ["order_id", "seller_id"], postgresql_where=where, sqlite_where=where
    )


def downgrade() -> None:
    op.drop_index("sub_orders_unnoted", table_name="sub_orders")
    op.drop_column("sub_orders", "noted")
    op.drop_table("order_heads")
