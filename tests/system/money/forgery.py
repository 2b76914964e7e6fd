"""Forgery by somebody with all rights in the database: rewrites the ledger so that it is consistent again."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select, update

from repositories.relational.money.digests import START, chain, digest_of, leg_of
from repositories.relational.money.ledger import TRANSFER_COLUMNS, to_transfer
from repositories.relational.money.stock_receipts import leg_of_receipt
from repositories.relational.schema.money_tables import entries, ledger_accounts, stock_receipts, transfers
from repositories.relational.schema.tables import stock


def change_amount(connection: Connection, transfer_id: UUID, amount: int) -> None:
    """Change an earlier transfer and both of its entries."""
    connection.execute(update(transfers).where(transfers.c.id == transfer_id).values(amount=amount))
    for row in connection.execute(select(entries).where(entries.c.transfer_id == transfer_id)).all():
        mine = (entries.c.transfer_id == transfer_id) & (entries.c.owner == row.owner)
        connection.execute(update(entries).where(mine).values(amount=amount if row.amount > 0 else -amount))
    recompute(connection)


def forget(connection: Connection, transfer_id: UUID) -> None:
    """Delete a transfer that is the last one of both accounts."""
    connection.execute(delete(entries).where(entries.c.transfer_id == transfer_id))
    connection.execute(delete(transfers).where(transfers.c.id == transfer_id))
    recompute(connection)


def forget_hold(connection: Connection) -> UUID:
    """Delete the last hold that was freed and belongs to no order, with its void. Returns its owner."""
    freed = select(transfers).where(transfers.c.phase == "void", transfers.c.order_id.is_(None))
    end = connection.execute(freed.order_by(transfers.c.created_at.desc())).first()
    assert end is not None
    connection.execute(delete(transfers).where(transfers.c.id.in_((end.id, end.hold_id))))
    recompute(connection)
    return UUID(str(end.debit))


def recompute(connection: Connection) -> None:
    """Recompute all digests, running balances, hashes, chains of holds and ledger accounts."""
    digests: dict[UUID, bytes] = {}
    for row in connection.execute(select(*TRANSFER_COLUMNS, transfers.c.order_head)).all():
        digests[row.id] = digest_of(to_transfer(row[:-1]), row.order_head)
        connection.execute(update(transfers).where(transfers.c.id == row.id).values(digest=digests[row.id]))
    for account in connection.execute(select(ledger_accounts)).all():
        own = (entries.c.owner == account.owner) & (entries.c.currency == account.currency)
        balance, head, last = 0, START, account.last_at
        rows = connection.execute(select(entries).where(own).order_by(entries.c.sequence)).all()
        for row in rows:
            balance, last = balance + row.amount, row.at
            head = chain(head, leg_of(digests[row.transfer_id], row.owner, row.amount))
            this = own & (entries.c.sequence == row.sequence)
            connection.execute(update(entries).where(this).values(balance=balance, hash=head))
        own = (ledger_accounts.c.owner == account.owner) & (ledger_accounts.c.currency == account.currency)
        end: dict[str, Any] = {"posted": balance, "entries": len(rows), "head": head, "last_at": last}
        end |= _holds(connection, account, digests)
        connection.execute(update(ledger_accounts).where(own).values(end))


def _holds(connection: Connection, account: Any, digests: dict[UUID, bytes]) -> dict[str, Any]:
    head, number, place = START, 0, transfers.c.hold_sequence
    own = (transfers.c.debit == account.owner) & (transfers.c.currency == account.currency) & place.is_not(None)
    for number, one in enumerate(connection.execute(select(transfers.c.id).where(own).order_by(place)).all(), 1):
        head = chain(head, digests[one.id])
        connection.execute(update(transfers).where(transfers.c.id == one.id).values(hold_sequence=number))
    return {"holds": number, "holds_head": head}


def invent_units(connection: Connection, product_id: UUID, units: int) -> None:
    """Add units on hand, as if the product's first receipt had included them."""
    its = stock_receipts.c.product_id == product_id
    connection.execute(update(stock_receipts).where(its).values(received=stock_receipts.c.received + units))
    more = {"on_hand": stock.c.on_hand + units, "received": stock.c.received + units}
    connection.execute(update(stock).where(stock.c.product_id == product_id).values(more))
    digest = START
    for row in connection.execute(select(stock_receipts).where(its).order_by(stock_receipts.c.number)).all():
        digest = chain(digest, leg_of_receipt(product_id, row.received))
        connection.execute(
            update(stock_receipts).where(its, stock_receipts.c.number == row.number).values(digest=digest)
        )


def forget_product(connection: Connection, product_id: UUID) -> None:
    """Delete the stock of a product that nobody has ordered."""
    for table in (stock_receipts, stock):
        connection.execute(delete(table).where(table.c.product_id == product_id))
