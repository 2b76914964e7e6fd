"""add an index on blocks for the list of blocked accounts"""

from alembic import op

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    op.create_index("blocks_blocker", "blocks", ["blocker", "at", "blocked"])


def downgrade() -> None:
    op.drop_index("blocks_blocker", "blocks")
