"""create the table of webhooks, and add the time since which a sink has been failing"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, TEXT, TIME

revision = "0021"
down_revision: str | None = "0020"
_SINCE = ("tried_since", "failing_since", "disabled_at")


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", ID, primary_key=True),
        sa.Column("url", TEXT, nullable=False),
        sa.Column("types", TEXT, nullable=False),
        sa.Column("secret", TEXT, nullable=False),
        sa.Column("former_secret", TEXT),
        sa.Column("former_until", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    for name in _SINCE:
        op.add_column("sinks", sa.Column(name, TIME))
    op.add_column("sink_dead_letters", sa.Column("again", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("sink_dead_letters", "again")
    for name in _SINCE:
        op.drop_column("sinks", name)
    op.drop_table("webhooks")
