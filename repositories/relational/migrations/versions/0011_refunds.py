"""create the table of refunds"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, TEXT, TIME

revision = "0011"
down_revision: str | None = "0010"

# Until this revision a seller's units were returned with the refund that completed the share: the seller's last one.
_EARLIER = """
INSERT INTO refunds (id, order_id, seller_id, reason, restock, created_at)
SELECT t.id, t.order_id, t.debit, '',
  NOT EXISTS (
    SELECT 1 FROM transfers AS later
    WHERE later.order_id = t.order_id AND later.kind = 'refund' AND later.debit = t.debit
      AND (later.created_at > t.created_at OR later.created_at = t.created_at AND later.id > t.id)
  ) AND EXISTS (
    SELECT 1 FROM order_lines AS line
    JOIN reservations AS sold ON sold.order_id = line.order_id AND sold.product_id = line.product_id
    WHERE line.order_id = t.order_id AND line.seller_id = t.debit AND sold.returned > 0
  ),
  t.created_at
FROM transfers AS t WHERE t.kind = 'refund' AND t.order_id IS NOT NULL
"""


def upgrade() -> None:
    op.create_table(
        "refunds",
        sa.Column("id", ID, primary_key=True),
        sa.Column("order_id", ID, sa.ForeignKey("orders.id"), nullable=False),
        sa.Column("seller_id", ID, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("restock", sa.Boolean, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
    op.create_index("refunds_order", "refunds", ["order_id", "created_at", "id"])
    op.execute(_EARLIER)


def downgrade() -> None:
    """The transfers stay; reasons are lost."""
    op.drop_table("refunds")
