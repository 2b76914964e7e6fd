"""chain the rows of holds, orders and stock receipts by digests

Existing rows are added to the chains, a batch at a time. Servers of an earlier version fail after this migration.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from repositories.relational.migrations import money_triggers
from repositories.relational.money.digests import START, chain
from repositories.relational.money.order_chain import opening, refunded, shipped, stated
from repositories.relational.money.stock_receipts import MOST_VERSIONS, leg_of_receipt
from repositories.relational.schema.columns import ID, TIME

revision = "0017"
down_revision: str | None = "0016"

BATCH = 1_000
FREE = "phase IN ('hold', 'void', 'expire')"
_ADDED = {
    "ledger_accounts": ("holds", "holds_head"),
    "transfers": ("hold_sequence", "order_head"),
    "sub_orders": ("head",),
    "shipments": ("version",),
    "refunds": ("version",),
}
_VALUES: dict[str, Any] = {"id": ID, "upto": ID, "order_id": ID, "seller_id": ID, "debit": ID, "product_id": ID}
_TYPES: dict[str, Any] = {"buyer_id": ID, "ended_by": ID, "restock": sa.Boolean}
_TYPES |= dict.fromkeys(("created_at", "moved_at", "paid_at", "ended_at"), TIME)
_TYPES |= {name: ID for name in _VALUES if name != "upto"}


def upgrade() -> None:
    binary, empty = ("BLOB", "x''") if _is_sqlite() else ("BYTEA", "''")
    _columns("ledger_accounts", ("holds", "BIGINT", "0"), ("holds_head", binary, empty))
    op.add_column("transfers", sa.Column("hold_sequence", sa.BigInteger))
    op.add_column("transfers", sa.Column("order_head", sa.LargeBinary))
    _columns("sub_orders", ("head", binary, empty))
    _columns("shipments", ("version", "BIGINT", "0"))
    _columns("refunds", ("version", "BIGINT", "0"))
    op.create_table(
        "stock_receipts",
        sa.Column("product_id", ID, sa.ForeignKey("stock.product_id"), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
    )
    _without_triggers(_chain_holds)
    _chain_orders()
    _write_receipts()
    if not _is_sqlite():
        for table, names in _ADDED.items():
            for name in names:
                op.execute(f"ALTER TABLE {table} ALTER COLUMN {name} DROP DEFAULT")


def _columns(table: str, *columns: tuple[str, str, str]) -> None:
    for name, kind, default in columns:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind} NOT NULL DEFAULT {default}")


def _without_triggers(work: Callable[[], None]) -> None:
    """Run `work` without the trigger that makes transfers append-only."""
    if not _is_sqlite():
        op.execute("ALTER TABLE transfers DISABLE TRIGGER transfers_append_only")
        work()
        op.execute("ALTER TABLE transfers ENABLE TRIGGER transfers_append_only")
        return
    op.execute("DROP TRIGGER transfers_no_update")
    work()
    (made,) = (one for one in money_triggers.sqlite() if one.startswith("CREATE TRIGGER transfers_no_update "))
    op.execute(made)


def _chain_holds() -> None:
    op.execute(
        f"""UPDATE transfers SET hold_sequence = numbered.place FROM (
          SELECT id, ROW_NUMBER() OVER (PARTITION BY debit, currency ORDER BY created_at, id) AS place
          FROM transfers WHERE {FREE}
        ) AS numbered WHERE numbered.id = transfers.id"""  # noqa: S608  - a constant of this file
    )
    where = sa.text("hold_sequence IS NOT NULL")
    columns = ["debit", "currency", "hold_sequence"]
    op.create_index("transfers_holds", "transfers", columns, unique=True, postgresql_where=where, sqlite_where=where)
    op.get_bind().execute(_typed("UPDATE ledger_accounts SET holds_head = :start"), {"start": START})
    rows = _pages(
        """SELECT debit, currency, hold_sequence, digest FROM transfers
        WHERE hold_sequence IS NOT NULL AND (debit, currency, hold_sequence) > (:debit, :currency, :hold_sequence)
        ORDER BY debit, currency, hold_sequence LIMIT :limit""",
        {"debit": UUID(int=0), "currency": "", "hold_sequence": 0},
    )
    ends = []
    for (owner, currency), own in groupby(rows, key=lambda row: (row.debit, row.currency)):
        head, number = START, 0
        for row in own:
            head, number = chain(head, bytes(row.digest)), row.hold_sequence
        ends.append({"debit": owner, "currency": currency, "number": number, "head": head})
    _write(
        "UPDATE ledger_accounts SET holds = :number, holds_head = :head WHERE owner = :debit AND currency = :currency",
        ends,
    )


def _chain_orders() -> None:
    ids = _pages("SELECT id FROM orders WHERE id > :id ORDER BY id LIMIT :limit", {"id": UUID(int=0)})
    while batch := [row.id for row in islice(ids, BATCH)]:
        span = {"id": batch[0], "upto": batch[-1]}
        for statement, rows in zip(_NUMBERED, zip(*map(_chained, _whole_orders(span)), strict=True), strict=True):
            _write(statement, [values for some in rows for values in some])


# The updates of sub-orders, of shipments, and of refunds.
_NUMBERED = (
    "UPDATE sub_orders SET head = :head WHERE order_id = :order_id AND seller_id = :seller_id",
    "UPDATE shipments SET version = :number WHERE id = :id",
    "UPDATE refunds SET version = :number WHERE id = :id",
)
_SPAN = "BETWEEN :id AND :upto ORDER BY"
_PARTS = f"SELECT * FROM sub_orders WHERE order_id {_SPAN} order_id, seller_id"  # noqa: S608  - parts of this file
_LINES = f"SELECT * FROM order_lines WHERE order_id {_SPAN} order_id, number"  # noqa: S608  - as above
_SHIPMENTS = f"""SELECT s.*, l.number, l.quantity FROM shipments AS s JOIN shipment_lines AS l ON l.shipment_id = s.id
  WHERE s.order_id {_SPAN} s.order_id, s.id, l.number"""  # noqa: S608  - as above
_REFUNDS = f"SELECT * FROM refunds WHERE order_id {_SPAN} order_id, id"  # noqa: S608  - as above


def _whole_orders(span: dict[str, UUID]) -> Iterator[tuple[list[Any], ...]]:
    """Each sub-order, alone in a list, with its lines, shipments and refunds."""
    its: list[dict[Any, list[Any]]] = []
    for statement in (_PARTS, _LINES, _SHIPMENTS, _REFUNDS):
        found: dict[Any, list[Any]] = defaultdict(list)
        for row in _read(statement, span):
            found[row.order_id, row.seller_id].append(row)
        its.append(found)
    return (tuple(found[part] for found in its) for part in its[0])


def _chained(whole: tuple[list[Any], ...]) -> tuple[list[dict[str, Any]], ...]:
    (part,), lines, sent, back = whole
    steps = []
    for one, rows in groupby(sent, key=lambda row: row.id):
        own = list(rows)
        step = shipped(one, own[0].reference, own[0].created_at, [(row.number, row.quantity) for row in own])
        steps.append((own[0].created_at, 0, one, step))
    for row in back:
        step = refunded(row.id, row.reason, restock=row.restock, units=row.units, at=row.created_at)
        steps.append((row.created_at, 1, row.id, step))
    # By time, but the step of the time `moved_at` is known to be the last.
    steps.sort(key=lambda step: (step[0] == part.moved_at, step))
    head = opening(part.order_id, part.buyer_id, part.seller_id, part.currency, part.created_at, lines)
    for digest in (*stated(part), *(step for *_, step in steps)):
        head = chain(head, digest)
    numbers: tuple[list[dict[str, Any]], ...] = ([], [])
    for number, (_, kind, one, _) in enumerate(steps, 3):
        numbers[kind].append({"id": one, "number": number})
    return [{"order_id": part.order_id, "seller_id": part.seller_id, "head": head}], *numbers


def _write_receipts() -> None:
    """Write one receipt for each time that stock was put, as the version counts. All have the total received by now."""
    rows = _pages(
        """SELECT product_id, received, version, (
            SELECT CAST(COALESCE(SUM(quantity % 1099511627776 + returned % 1099511627776), 0) AS BIGINT)
            FROM reservations WHERE reservations.product_id = stock.product_id AND sold_at IS NOT NULL
        ) AS moved FROM stock WHERE product_id > :product_id ORDER BY product_id LIMIT :limit""",
        {"product_id": UUID(int=0)},
    )
    while batch := list(islice(rows, BATCH)):
        receipts, versions = [], []
        for row in batch:
            digest, number = START, max(1, row.version - row.moved)
            own = {"product_id": row.product_id, "received": row.received}
            for one in range(1, number + 1):
                digest = chain(digest, leg_of_receipt(row.product_id, row.received))
                receipts.append(own | {"number": one, "digest": digest})
            versions.append({"product_id": row.product_id, "version": (number + row.moved - 1) % MOST_VERSIONS + 1})
        _write(
            """INSERT INTO stock_receipts (product_id, number, received, digest)
            VALUES (:product_id, :number, :received, :digest)""",
            receipts,
        )
        _write("UPDATE stock SET version = :version WHERE product_id = :product_id", versions)


def _pages(statement: str, place: dict[str, Any]) -> Iterator[Any]:
    while rows := _read(statement, place | {"limit": BATCH}):
        yield from rows
        place = {name: getattr(rows[-1], name) for name in place}


def _read(statement: str, values: dict[str, Any]) -> Sequence[Any]:
    return op.get_bind().execute(_typed(statement).columns(**_TYPES), values).all()


def _write(statement: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        op.get_bind().execute(_typed(statement), rows)


def _typed(statement: str) -> sa.TextClause:
    text = sa.text(statement)
    return text.bindparams(*(sa.bindparam(name, type_=_VALUES[name]) for name in text._bindparams if name in _VALUES))  # noqa: SLF001


def _is_sqlite() -> bool:
    return bool(op.get_bind().dialect.name == "sqlite")


def downgrade() -> None:
    op.drop_table("stock_receipts")
    op.drop_index("transfers_holds", "transfers")
    for table, names in _ADDED.items():
        for name in names:
            op.drop_column(table, name)
