"""add memos and references to transfers"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import TEXT

revision = "0012"
down_revision: str | None = "0011"


def upgrade() -> None:
    op.add_column("transfers", sa.Column("memo", TEXT))
    op.add_column("transfers", sa.Column("reference", TEXT))


def downgrade() -> None:
    """The digests of transfers with a memo or a reference do not match any more."""
    op.drop_column("transfers", "reference")
    op.drop_column("transfers", "memo")
