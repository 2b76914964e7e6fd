"""rename the column and index of dead-lettered events"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    _rename("parked", "dead_lettered")


def downgrade() -> None:
    _rename("dead_lettered", "parked")


def _rename(old: str, new: str) -> None:
    op.drop_index(f"outbox_{old}", "outbox")
    op.execute(f"ALTER TABLE outbox RENAME COLUMN {old}_at TO {new}_at")
    where = sa.text(f"{new}_at IS NOT NULL")
    op.create_index(f"outbox_{new}", "outbox", [f"{new}_at", "position"], postgresql_where=where, sqlite_where=where)
