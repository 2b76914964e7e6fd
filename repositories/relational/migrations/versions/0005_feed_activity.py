"""rename readers to feed activity, with its columns

Only names change: no row is rewritten, and each lock is held for a catalogue update. Stop the processes of the
former version first, since their statements use the former names.
"""

from alembic import op

revision = "0005"
down_revision: str | None = "0004"

_COLUMNS = (
    ("feed_activity", "turn", "generation"),
    ("feed_activity", "floor", "low_watermark"),
    ("fanouts", "lags", "lag_histogram"),
)
_CONSTRAINTS = ("pkey", "account_id_fkey", "state_check")


def upgrade() -> None:
    _rename_table("readers", "feed_activity")
    for table, former, name in _COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {former} TO {name}")


def downgrade() -> None:
    for table, former, name in _COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {name} TO {former}")
    _rename_table("feed_activity", "readers")


def _rename_table(former: str, name: str) -> None:
    """Rename a table with its index, and on PostgreSQL its constraints. SQLite cannot rename an index."""
    op.rename_table(former, name)
    if op.get_context().dialect.name == "sqlite":
        op.execute(f"DROP INDEX {former}_awake")
        op.execute(f"CREATE INDEX {name}_awake ON {name} (seen_at, account_id) WHERE state = 'awake'")
        return
    op.execute(f"ALTER INDEX {former}_awake RENAME TO {name}_awake")
    for constraint in _CONSTRAINTS:
        op.execute(f"ALTER TABLE {name} RENAME CONSTRAINT {former}_{constraint} TO {name}_{constraint}")
