"""create the table of deferred work"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, TIME

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    op.create_table(
        "deferred",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("token", ID, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("at", TIME, nullable=False),
    )
    op.create_index("deferred_at", "deferred", ["at"])
    op.create_index("deferred_token", "deferred", ["token"])


def downgrade() -> None:
    op.drop_table("deferred")
