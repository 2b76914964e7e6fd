"""The tables of the ledger, of reservations and receipts of stock, and of idempotency keys."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    UniqueConstraint,
    text,
)

from repositories.relational.schema.columns import ID, TEXT, TIME, partial_index
from repositories.relational.schema.tables import metadata

# SQLite turns an integer overflow into a floating-point number; the check refuses it.
POSTED_IN_RANGE = "posted BETWEEN -9223372036854775807 AND 9223372036854775807"
SOLVENT = "may_overdraw OR posted - held >= 0"
LEGS = (
    "CASE WHEN phase IN ('single', 'post') THEN debit_leg IS NOT NULL AND credit_leg IS NOT NULL"
    " AND debit_leg = debit AND credit_leg = credit ELSE debit_leg IS NULL AND credit_leg IS NULL END"
)

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    Column("owner", ID, primary_key=True),
    Column("currency", TEXT, CheckConstraint("length(currency) = 3"), primary_key=True),
    Column("may_overdraw", Boolean, nullable=False),
    Column("posted", BigInteger, CheckConstraint(POSTED_IN_RANGE), nullable=False),
    Column("held", BigInteger, CheckConstraint("held >= 0"), nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("last_at", TIME, nullable=False),
    Column("head", LargeBinary, nullable=False),
    # The number of transfers that reserved or freed money without moving it, and the last hash of their chain.
    Column("holds", BigInteger, nullable=False),
    Column("holds_head", LargeBinary, nullable=False),
    CheckConstraint(SOLVENT),
)

entries = Table(
    "entries",
    metadata,
    Column("owner", ID, primary_key=True),
    Column("currency", TEXT, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("transfer_id", ID, nullable=False),
    Column("amount", BigInteger, CheckConstraint("amount <> 0"), nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("at", TIME, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("transfer_id", "owner", name="entries_legs"),
    Index("entries_at", "owner", "currency", "at", "sequence"),
)


def _entered(leg: str, name: str) -> ForeignKeyConstraint:
    own, entry = ["id", leg], ["entries.transfer_id", "entries.owner"]
    return ForeignKeyConstraint(own, entry, name=name, deferrable=True, initially="DEFERRED")


# The two deferred foreign keys require both entries of a transfer at commit. A trigger refuses an entry that is not a
# leg of its transfer. Together they keep the sum of all entries at zero.
transfers = Table(
    "transfers",
    metadata,
    Column("id", ID, primary_key=True),
    Column("kind", TEXT, nullable=False),
    Column("debit", ID, nullable=False),
    Column("credit", ID, nullable=False),
    Column("currency", TEXT, CheckConstraint("length(currency) = 3"), nullable=False),
    Column("amount", BigInteger, CheckConstraint("amount > 0"), nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("order_id", ID),
    Column("phase", TEXT, CheckConstraint("phase IN ('single', 'hold', 'post', 'void', 'expire')"), nullable=False),
    Column("hold_id", ID, ForeignKey("transfers.id")),
    Column("expires_at", TIME),
    Column("debit_leg", ID),
    Column("credit_leg", ID),
    Column("digest", LargeBinary, nullable=False),
    Column("memo", TEXT),
    Column("reference", TEXT),
    # The number in the debit account's chain of holds, for transfers that move no money.
    Column("hold_sequence", BigInteger),
    # The head of the sub-order when the transfer was made.
    Column("order_head", LargeBinary),
    CheckConstraint("debit <> credit"),
    CheckConstraint(LEGS),
    CheckConstraint("(phase = 'hold') = (expires_at IS NOT NULL)"),
    CheckConstraint("(phase IN ('post', 'void', 'expire')) = (hold_id IS NOT NULL)"),
    _entered("debit_leg", "transfers_debited"),
    _entered("credit_leg", "transfers_credited"),
)
# As texts, not as parameters: a planner that does not know the values cannot use the index.
IS_PAYMENT = text("transfers.phase IN ('single', 'hold') AND transfers.kind IN ('deposit', 'payout')")
IS_PAYOUT = text("transfers.phase = 'hold' AND transfers.kind = 'payout'")
_its_payments = text("phase IN ('single', 'hold') AND kind IN ('deposit', 'payout')")
_its_payouts = text("phase = 'hold' AND kind = 'payout'")
partial_index("transfers_payments", transfers.c.created_at, transfers.c.id, where=_its_payments)
partial_index("transfers_payouts", transfers.c.debit, transfers.c.created_at, transfers.c.id, where=_its_payouts)
_ends, _of_order = transfers.c.hold_id.is_not(None), transfers.c.order_id.is_not(None)
_held = transfers.c.hold_sequence.is_not(None)
_chain = (transfers.c.debit, transfers.c.currency, transfers.c.hold_sequence)
partial_index("transfers_holds", *_chain, unique=True, where=_held)
partial_index("transfers_hold", transfers.c.hold_id, unique=True, where=_ends)
partial_index("transfers_order", transfers.c.order_id, transfers.c.created_at, transfers.c.id, where=_of_order)

# A copy of the holds that are open. Deleting the row ends the hold, so only one transaction can end it.
open_holds = Table(
    "open_holds",
    metadata,
    Column("id", ID, ForeignKey("transfers.id"), primary_key=True),
    Column("kind", TEXT, nullable=False),
    Column("debit", ID, nullable=False),
    Column("credit", ID, nullable=False),
    Column("currency", TEXT, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("order_id", ID),
    Column("expires_at", TIME, nullable=False),
    Index("open_holds_due", "expires_at", "id"),
    Index("open_holds_debit", "debit", "currency"),
    Index("open_holds_order", "order_id"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("order_id", ID, primary_key=True),
    Column("product_id", ID, ForeignKey("stock.product_id"), primary_key=True),
    Column("quantity", BigInteger, CheckConstraint("quantity > 0"), nullable=False),
    Column("returned", BigInteger, CheckConstraint("returned BETWEEN 0 AND quantity"), nullable=False),
    Column("expires_at", TIME, nullable=False),
    Column("sold_at", TIME),
    Index("reservations_product", "product_id", "order_id"),
)
_open = reservations.c.sold_at.is_(None)
partial_index("reservations_due", reservations.c.expires_at, reservations.c.order_id, where=_open)

# The total received of a product, recorded each time its stock was put. `digest` is chained to the previous one.
stock_receipts = Table(
    "stock_receipts",
    metadata,
    Column("product_id", ID, ForeignKey("stock.product_id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("received", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)

request_keys = Table(
    "request_keys",
    metadata,
    Column("account_id", ID, primary_key=True),
    Column("route", TEXT, primary_key=True),
    Column("key", TEXT, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("lease", ID, nullable=False),
    Column("lease_until", TIME, nullable=False),
    Column("status", Integer),
    Column("headers", TEXT),
    Column("body", LargeBinary),
    Index("request_keys_age", "created_at"),
)
