"""add the deletion of accounts and the reservation of handles"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, TEXT, TIME

revision = "0008"
down_revision: str | None = "0007"

_DELETED = sa.text("deleted_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("deleted_at", TIME))
    op.create_index("accounts_deleted", "accounts", ["id"], postgresql_where=_DELETED, sqlite_where=_DELETED)
    op.create_table(
        "handle_reservations",
        sa.Column("handle_key", TEXT, primary_key=True),
        sa.Column("account_id", ID, sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("until", TIME, nullable=False),
    )
    op.create_index("handle_reservations_until", "handle_reservations", ["until"])


def downgrade() -> None:
    """Deleted accounts stay as accounts without a name and a login."""
    op.drop_table("handle_reservations")
    op.drop_index("accounts_deleted", "accounts")
    op.drop_column("accounts", "deleted_at")
