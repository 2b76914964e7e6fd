"""what the cached tops of home feeds are checked against"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    op.add_column("account_counters", sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"))
    tops = op.create_table(
        "home_tops",
        sa.Column("single", sa.Boolean, sa.CheckConstraint("single"), primary_key=True),
        sa.Column("lost", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(tops, [{"single": True, "lost": 0}])


def downgrade() -> None:
    op.drop_table("home_tops")
    op.drop_column("account_counters", "revision")
