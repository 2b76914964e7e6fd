"""add indexes on payments by time, and create the table of the sandbox payment provider"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.schema.columns import ID, TEXT, TIME

revision = "0018"
down_revision: str | None = "0017"

PAYMENT = sa.text("phase IN ('single', 'hold') AND kind IN ('deposit', 'payout')")
PAYOUT = sa.text("phase = 'hold' AND kind = 'payout'")


def upgrade() -> None:
    op.create_table(
        "sandbox_payments",
        sa.Column("reference", ID, primary_key=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("at", TIME, nullable=False),
    )
    op.create_index("sandbox_payments_at", "sandbox_payments", ["at", "reference"])
    columns = ["created_at", "id"]
    op.create_index("transfers_payments", "transfers", columns, postgresql_where=PAYMENT, sqlite_where=PAYMENT)
    columns = ["debit", *columns]
    op.create_index("transfers_payouts", "transfers", columns, postgresql_where=PAYOUT, sqlite_where=PAYOUT)
    # The sandbox has approved all existing deposits.
    op.execute(
        "INSERT INTO sandbox_payments (reference, kind, amount, currency, state, at)"
        " SELECT id, kind, amount, currency, 'approved', created_at FROM transfers"
        " WHERE phase = 'single' AND kind = 'deposit'"
    )


def downgrade() -> None:
    op.drop_index("transfers_payouts", "transfers")
    op.drop_index("transfers_payments", "transfers")
    op.drop_table("sandbox_payments")
