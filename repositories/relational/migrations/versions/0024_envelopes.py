"""store the envelope of each event in the event log

Earlier versions store no envelope, and ignore stored ones. An envelope that is missing or ignored is made of the event.
"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import TEXT

revision = "0024"
down_revision: str | None = "0023"


def upgrade() -> None:
    op.add_column("event_log", sa.Column("envelope", sa.LargeBinary))
    op.add_column("event_log", sa.Column("made_by", TEXT))


def downgrade() -> None:
    op.drop_column("event_log", "made_by")
    op.drop_column("event_log", "envelope")
