"""create the event log and the table of sinks"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, SERIAL, TEXT, TIME

revision = "0020"
down_revision: str | None = "0019"


def upgrade() -> None:
    op.create_table(
        "event_log",
        sa.Column("position", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("id", ID, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("aggregate", TEXT, nullable=False),
        sa.Column("happened_at", TIME, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("traceparent", TEXT, nullable=False),
        sa.Column("logged_at", TIME, nullable=False),
        sa.UniqueConstraint("id", name="event_log_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("event_log_logged_at", "event_log", ["logged_at", "position"])
    op.create_table(
        "sinks",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("reason", TEXT),
        sa.Column("lease", ID),
        sa.Column("lease_until", TIME),
    )
    op.create_table(
        "sink_dead_letters",
        sa.Column("sink", TEXT, primary_key=True),
        sa.Column("position", sa.BigInteger, primary_key=True),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("dead_lettered_at", TIME, nullable=False),
    )
    op.create_index("sink_dead_letters_position", "sink_dead_letters", ["position"])


def downgrade() -> None:
    op.drop_table("sink_dead_letters")
    op.drop_table("sinks")
    op.drop_table("event_log")
