"""create the table of open payments

They are the deposits and payouts whose outcome the payment provider has not reported. Payments that earlier versions
have begun are not included. Rows that these versions leave here are removed with the account.
"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, TIME

revision = "0026"
down_revision: str | None = "0025"


def upgrade() -> None:
    op.create_table(
        "open_payments",
        sa.Column("owner", ID, primary_key=True),
        sa.Column("reference", ID, primary_key=True),
        sa.Column("since", TIME, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("open_payments")
