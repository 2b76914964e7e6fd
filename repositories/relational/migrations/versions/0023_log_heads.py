"""number the event log from a row instead of a sequence

Earlier versions name neither the sequence nor the default, so they still work: every insert gets its position from the
row, and waits there for the previous one to commit. SQLite numbers rows by itself.
"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import TEXT

revision = "0023"
down_revision: str | None = "0022"

# New positions are also above those in the log and of the sinks: a move copies rows that were numbered elsewhere.
_FUNCTION = """
CREATE FUNCTION next_log_position() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    INSERT INTO log_heads (log, position)
    SELECT 'event_log', 1 + greatest(
        (SELECT max(position) FROM event_log), (SELECT max(position) FROM sinks), 0
    )
    ON CONFLICT (log) DO UPDATE SET position = greatest(log_heads.position + 1, excluded.position)
    RETURNING position
$$
"""


def upgrade() -> None:
    op.create_table(
        "log_heads",
        sa.Column("log", TEXT, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
    )
    if op.get_bind().dialect.name != "postgresql":
        return
    # Waits for transactions that have appended: their positions come from the sequence.
    op.execute("LOCK TABLE event_log IN ACCESS EXCLUSIVE MODE")
    op.execute("INSERT INTO log_heads SELECT 'event_log', last_value FROM event_log_position_seq")
    op.execute(_FUNCTION)
    op.execute("ALTER TABLE event_log ALTER COLUMN position SET DEFAULT next_log_position()")
    op.execute("DROP SEQUENCE event_log_position_seq")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("LOCK TABLE event_log IN ACCESS EXCLUSIVE MODE")
        op.execute("CREATE SEQUENCE event_log_position_seq OWNED BY event_log.position")
        op.execute("SELECT setval('event_log_position_seq', greatest(max(position), 1)) FROM log_heads")
        op.execute("ALTER TABLE event_log ALTER COLUMN position SET DEFAULT nextval('event_log_position_seq')")
        op.execute("DROP FUNCTION next_log_position()")
    op.drop_table("log_heads")
