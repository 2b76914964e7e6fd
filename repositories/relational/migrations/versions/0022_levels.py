"""create the table of hourly levels"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import TEXT, TIME

revision = "0022"
down_revision: str | None = "0021"


def upgrade() -> None:
    op.create_table(
        "levels",
        sa.Column("at", TIME, primary_key=True),
        sa.Column("level", TEXT, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("most", sa.BigInteger),
    )


def downgrade() -> None:
    op.drop_table("levels")
