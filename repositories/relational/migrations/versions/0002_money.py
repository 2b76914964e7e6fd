"""create the tables of money, stock and orders"""

import sqlalchemy as sa
from alembic import op

from repositories.relational.migrations import money_triggers
from repositories.relational.schema.columns import ID, TEXT, TIME

revision = "0002"
down_revision: str | None = "0001"

# SQLite would turn a sum beyond 64 bits into a floating-point number.
_POSTED_IN_RANGE = "posted BETWEEN -9223372036854775807 AND 9223372036854775807"
_SOLVENT = "may_overdraw OR posted - held >= 0"
_LEGS = (
    "CASE WHEN phase IN ('single', 'post') THEN debit_leg IS NOT NULL AND credit_leg IS NOT NULL"
    " AND debit_leg = debit AND credit_leg = credit ELSE debit_leg IS NULL AND credit_leg IS NULL END"
)

_STOCK = {
    "reserved": "DEFAULT 0 CHECK (reserved >= 0 AND reserved <= on_hand)",
    "sold": "DEFAULT 0 CHECK (sold >= 0)",
    "received": "DEFAULT 0 CHECK (received BETWEEN 0 AND 9223372036854775807)",
    "version": "DEFAULT 1",
}
_TABLES = (
    "request_keys",
    "order_sellers",
    "order_lines",
    "orders",
    "reservations",
    "open_holds",
    "transfers",
    "entries",
    "ledger_accounts",
)


def upgrade() -> None:
    _stock()
    _ledger_accounts()
    _transfers()
    _open_holds()
    _reservations()
    _orders()
    _request_keys()
    for statement in _triggers():
        op.execute(statement)


def downgrade() -> None:
    """Children before parents."""
    for table in _TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change, refuse_stray_entry")
    for column in _STOCK:
        op.execute(f"ALTER TABLE stock DROP COLUMN {column}")


def _triggers() -> list[str]:
    return money_triggers.postgresql() if op.get_bind().dialect.name == "postgresql" else money_triggers.sqlite()


def _stock() -> None:
    """SQLite adds a column with its CHECK, but no CHECK alone, so the statement is written out."""
    for column, rest in _STOCK.items():
        op.execute(f"ALTER TABLE stock ADD COLUMN {column} BIGINT NOT NULL {rest}")
    op.execute("UPDATE stock SET received = on_hand")


def _ledger_accounts() -> None:
    op.create_table(
        "ledger_accounts",
        sa.Column("owner", ID, primary_key=True),
        sa.Column("currency", TEXT, sa.CheckConstraint("length(currency) = 3"), primary_key=True),
        sa.Column("may_overdraw", sa.Boolean, nullable=False),
        sa.Column("posted", sa.BigInteger, sa.CheckConstraint(_POSTED_IN_RANGE), nullable=False),
        sa.Column("held", sa.BigInteger, sa.CheckConstraint("held >= 0"), nullable=False),
        sa.Column("entries", sa.BigInteger, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.CheckConstraint(_SOLVENT),
    )


def _transfers() -> None:
    op.create_table(
        "entries",
        sa.Column("owner", ID, primary_key=True),
        sa.Column("currency", TEXT, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("transfer_id", ID, nullable=False),
        sa.Column("amount", sa.BigInteger, sa.CheckConstraint("amount <> 0"), nullable=False),
        sa.Column("balance", sa.BigInteger, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("transfer_id", "owner", name="entries_legs"),
    )
    op.create_index("entries_at", "entries", ["owner", "currency", "at", "sequence"])
    op.create_table(
        "transfers",
        sa.Column("id", ID, primary_key=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("debit", ID, nullable=False),
        sa.Column("credit", ID, nullable=False),
        sa.Column("currency", TEXT, sa.CheckConstraint("length(currency) = 3"), nullable=False),
        sa.Column("amount", sa.BigInteger, sa.CheckConstraint("amount > 0"), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("order_id", ID),
        sa.Column(
            "phase", TEXT, sa.CheckConstraint("phase IN ('single', 'hold', 'post', 'void', 'expire')"), nullable=False
        ),
        sa.Column("hold_id", ID, sa.ForeignKey("transfers.id")),
        sa.Column("expires_at", TIME),
        sa.Column("debit_leg", ID),
        sa.Column("credit_leg", ID),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("debit <> credit"),
        sa.CheckConstraint(_LEGS),
        sa.CheckConstraint("(phase = 'hold') = (expires_at IS NOT NULL)"),
        sa.CheckConstraint("(phase IN ('post', 'void', 'expire')) = (hold_id IS NOT NULL)"),
        sa.ForeignKeyConstraint(
            ["id", "debit_leg"],
            ["entries.transfer_id", "entries.owner"],
            name="transfers_debited",
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.ForeignKeyConstraint(
            ["id", "credit_leg"],
            ["entries.transfer_id", "entries.owner"],
            name="transfers_credited",
            deferrable=True,
            initially="DEFERRED",
        ),
    )
    _partial_index("transfers_hold", "transfers", ["hold_id"], "hold_id IS NOT NULL", unique=True)
    _partial_index("transfers_order", "transfers", ["order_id", "created_at", "id"], "order_id IS NOT NULL")


def _open_holds() -> None:
    op.create_table(
        "open_holds",
        sa.Column("id", ID, sa.ForeignKey("transfers.id"), primary_key=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("debit", ID, nullable=False),
        sa.Column("credit", ID, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("order_id", ID),
        sa.Column("expires_at", TIME, nullable=False),
    )
    op.create_index("open_holds_due", "open_holds", ["expires_at", "id"])
    op.create_index("open_holds_debit", "open_holds", ["debit", "currency"])
    op.create_index("open_holds_order", "open_holds", ["order_id"])


def _reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("order_id", ID, primary_key=True),
        sa.Column("product_id", ID, sa.ForeignKey("stock.product_id"), primary_key=True),
        sa.Column("quantity", sa.BigInteger, sa.CheckConstraint("quantity > 0"), nullable=False),
        sa.Column("returned", sa.BigInteger, sa.CheckConstraint("returned BETWEEN 0 AND quantity"), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("sold_at", TIME),
    )
    op.create_index("reservations_product", "reservations", ["product_id", "order_id"])
    _partial_index("reservations_due", "reservations", ["expires_at", "order_id"], "sold_at IS NULL")


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", ID, primary_key=True),
        sa.Column("buyer_id", ID, nullable=False),
        sa.Column("currency", TEXT, sa.CheckConstraint("length(currency) = 3"), nullable=False),
        sa.Column("total", sa.BigInteger, sa.CheckConstraint("total >= 0"), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column(
            "state",
            TEXT,
            sa.CheckConstraint("state IN ('placed', 'paid', 'fulfilled', 'cancelled', 'refunded')"),
            nullable=False,
        ),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("refunded", sa.BigInteger, sa.CheckConstraint("refunded BETWEEN 0 AND total"), nullable=False),
        sa.Column("moved_at", TIME),
        sa.Column("due_at", TIME),
    )
    op.create_index("orders_buyer", "orders", ["buyer_id", "created_at", "id"])
    _partial_index("orders_due", "orders", ["due_at", "id"], "due_at IS NOT NULL")
    op.create_table(
        "order_lines",
        sa.Column("order_id", ID, sa.ForeignKey("orders.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("product_id", ID, nullable=False),
        sa.Column("product_version", sa.BigInteger, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("seller_id", ID, nullable=False),
        sa.Column("unit_price", sa.BigInteger, sa.CheckConstraint("unit_price >= 0"), nullable=False),
        sa.Column("quantity", sa.BigInteger, sa.CheckConstraint("quantity > 0"), nullable=False),
    )
    op.create_table(
        "order_sellers",
        sa.Column("seller_id", ID, primary_key=True),
        sa.Column("created_at", TIME, primary_key=True),
        sa.Column("order_id", ID, sa.ForeignKey("orders.id"), primary_key=True),
    )


def _request_keys() -> None:
    op.create_table(
        "request_keys",
        sa.Column("account_id", ID, primary_key=True),
        sa.Column("route", TEXT, primary_key=True),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("lease", ID, nullable=False),
        sa.Column("lease_until", TIME, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("headers", TEXT),
        sa.Column("body", sa.LargeBinary),
    )
    op.create_index("request_keys_age", "request_keys", ["created_at"])


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, postgresql_where=condition, sqlite_where=condition)
