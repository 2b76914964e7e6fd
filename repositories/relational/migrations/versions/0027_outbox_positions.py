"""number the outbox by time instead of a sequence

Earlier versions set no position, and get the time as well. Among themselves they still lock the aggregate. SQLite
numbers rows by itself.
"""

from alembic import op

revision = "0027"
down_revision: str | None = "0026"

# The expression as of this revision: microseconds since 2020, and bits that set connections apart within one of them.
_NUMBER = (
    "((extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 1577836800000000) * 4096"
    " + mod(pg_backend_pid(), 4096)"
)


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    # Waits for transactions that have written events: their positions are of the sequence, below all later ones.
    op.execute(f"ALTER TABLE outbox ALTER COLUMN position SET DEFAULT ({_NUMBER})")
    op.execute("DROP SEQUENCE outbox_position_seq")


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
    op.execute("CREATE SEQUENCE outbox_position_seq OWNED BY outbox.position")
    op.execute(f"SELECT setval('outbox_position_seq', {_NUMBER})")
    op.execute("ALTER TABLE outbox ALTER COLUMN position SET DEFAULT nextval('outbox_position_seq')")
