"""add counters that show when a cached home feed is out of date"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    op.add_column("account_counters", sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"))
    signals = op.create_table(
        "feed_signals",
        sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("published", sa.BigInteger, nullable=False),
        sa.Column("lost", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(signals, [{"shard": shard, "published": 0, "lost": 0} for shard in range(16)])


def downgrade() -> None:
    op.drop_table("feed_signals")
    op.drop_column("account_counters", "revision")
