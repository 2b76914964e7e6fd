"""create the table of mailed tokens and add the time at which an address was verified"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, TEXT, TIME

revision = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    op.add_column("logins", sa.Column("verified_at", TIME))
    op.create_table(
        "mail_tokens",
        sa.Column("account_id", ID, sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("purpose", TEXT, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.UniqueConstraint("digest", name="mail_tokens_digest"),
    )
    op.create_index("mail_tokens_expires_at", "mail_tokens", ["expires_at"])


def downgrade() -> None:
    op.drop_table("mail_tokens")
    op.drop_column("logins", "verified_at")
