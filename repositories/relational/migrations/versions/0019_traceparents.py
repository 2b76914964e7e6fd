"""add the trace context to events in the outbox"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import TEXT

revision = "0019"
down_revision: str | None = "0018"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("traceparent", TEXT, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("outbox", "traceparent")
