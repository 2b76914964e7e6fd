"""create the table of ended sessions"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, TIME

revision = "0015"
down_revision: str | None = "0012"


def upgrade() -> None:
    op.create_table(
        "endings",
        sa.Column("id", ID, primary_key=True),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("session_id", ID),
        sa.Column("kept_id", ID),
        sa.Column("ended_at", TIME, nullable=False),
        sa.Column("noted_at", TIME, nullable=False),
        sa.Column("over_at", TIME, nullable=False),
    )
    op.create_index("endings_noted_at", "endings", ["noted_at", "id"])
    op.create_index("endings_over_at", "endings", ["over_at"])


def downgrade() -> None:
    op.drop_table("endings")
