"""`/wallet`: balances, ledger entries, deposits and transfers."""

from datetime import datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
import msgspec
from flask import Response

from app.errors import BadRequest
from app.http.edge import answers
from app.http.edge.blueprint import BASE, LOCATION, Blueprint, budget, private
from app.http.edge.deps import caller, container, cursors
from app.http.edge.fields import Instant, Moment, Prose, Text
from app.http.edge.idempotency import idempotent, receipt
from app.http.edge.paging import PageQuery, page_of
from app.http.edge.shapes import CODE_LIKE, AccountSchema, MoneyShape, MovedMoneySchema
from app.services.money.wallets import Sending
from app.services.pages.fragments import account_part, encode, moment
from repositories.records.idempotency import Answer
from repositories.records.money import PROVIDER, Balance, Entry, Money, Transfer
from repositories.records.payments import Payment
from repositories.records.people import Account

blp = Blueprint("wallet", "Money: balances, entries, deposits and transfers")

REFERENCE = {"description": "the sender's own reference; null for everyone else"}


class BalanceSchema(ma.Schema):
    currency = ma.fields.String(required=True)
    posted = ma.fields.Nested(MoneyShape, required=True, metadata={"description": "the balance"})
    held = ma.fields.Nested(MoneyShape, required=True, metadata={"description": "the reserved part of `posted`"})
    available = ma.fields.Nested(MoneyShape, required=True, metadata={"description": "`posted` minus `held`"})


class EntrySchema(ma.Schema):
    sequence = ma.fields.Integer(required=True)
    transfer_id = ma.fields.UUID(required=True)
    kind = ma.fields.String(required=True)
    other = ma.fields.Nested(
        AccountSchema, required=True, allow_none=True, metadata={"description": "null: the payment provider"}
    )
    order_id = ma.fields.UUID(required=True, allow_none=True)
    amount = ma.fields.Nested(
        MoneyShape, required=True, metadata={"description": "negative for money that left the wallet"}
    )
    balance = ma.fields.Nested(MoneyShape, required=True, metadata={"description": "the balance after this entry"})
    memo = ma.fields.String(required=True, allow_none=True)
    reference = ma.fields.String(required=True, allow_none=True, metadata=REFERENCE)
    at = Moment(required=True)


class TransferSchema(ma.Schema):
    id = ma.fields.UUID(required=True)
    kind = ma.fields.String(required=True)
    from_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "null: the payment provider"})
    to_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "null: the payment provider"})
    amount = ma.fields.Nested(MoneyShape, required=True)
    order_id = ma.fields.UUID(required=True, allow_none=True)
    memo = ma.fields.String(required=True, allow_none=True)
    reference = ma.fields.String(required=True, allow_none=True, metadata=REFERENCE)
    created_at = Moment(required=True)


class DepositSchema(ma.Schema):
    amount = ma.fields.Nested(MovedMoneySchema, required=True)


class SendingSchema(ma.Schema):
    to = Text(required=True, validate=ma.validate.Length(1, 30), metadata={"description": "the recipient's handle"})
    amount = ma.fields.Nested(MovedMoneySchema, required=True)
    memo = Prose(
        load_default=None,
        allow_none=True,
        validate=ma.validate.Length(1, 140),
        metadata={"description": "shown to both sides"},
    )
    reference = Prose(
        load_default=None,
        allow_none=True,
        validate=ma.validate.Length(1, 64),
        metadata={"description": "your own reference, shown to nobody else"},
    )


class CurrencyQuery(ma.Schema):
    currency = Text(
        load_default=None,
        validate=CODE_LIKE,
        metadata={"description": "required if the wallet has more than one currency"},
    )


class EntryQuery(CurrencyQuery, PageQuery):
    at = Instant(load_default=None, metadata={"description": "as of this time (RFC 3339): without later entries"})


BalancePage = page_of(BalanceSchema, "BalancePage")
EntryPage = page_of(EntrySchema, "EntryPage", balance=ma.fields.Nested(MoneyShape, required=True, allow_none=True))


@blp.get("/wallet")
@private
@budget(relational=1, sessions=1)
@blp.response(200, BalancePage)
def list_balances() -> Response:
    """List your balances by currency. Empty before the first deposit."""
    found = container().stores.relational.ledger.wallet(caller())
    return answers.page(map(balance_item, found), None)


@blp.get("/wallet/entries")
@private
@budget(relational=7, sessions=1)
@blp.arguments(EntryQuery, location="query")
@blp.response(200, EntryPage)
def list_wallet_entries(query: dict[str, Any]) -> Response:
    """List the entries of your wallet in a currency, newest first, each with the balance after it.

    `balance` is the current balance or, with `at`, the balance at that time. Times are those of the database's clock.
    The response for a given `at` never changes: transfers in progress are awaited, and a time in the future is refused.
    """
    owner, at, limit = caller(), query["at"], query["limit"]
    currency = query["currency"] or only_currency()
    if currency is None:
        return answers.page((), None, balance=None)
    if at is not None:
        container().money.wallets.await_all_before(owner, currency, at)
    scope, ledger = f"entries:{owner}:{currency}:{at}", container().stores.relational.ledger
    before = cursors().read(scope, query["cursor"])[0] if query["cursor"] else None
    found = ledger.entries(owner, currency, before=before, until=at, limit=limit + 1)
    onward = cursors().onward(scope, found, limit, lambda last: [last.sequence])
    return answers.page(entry_items(found[:limit], currency), onward, balance=_balance(currency, at))


@blp.post("/wallet/deposits")
@private
@budget(relational=22, sessions=1)
@blp.arguments(DepositSchema)
@blp.response(201, TransferSchema, headers=LOCATION)
@blp.raises(402, 404, 503)
@idempotent(required=True)
def create_deposit(wanted: dict[str, Any]) -> Answer:
    """Deposit money through the payment provider.

    The provider is a sandbox that approves all amounts except these, in any currency: 40402 and any amount above
    1000000000000 are declined (402); 40503 times out (503) and is approved when retried with the same key; 40504 always
    times out. After a 503 the outcome is unknown: a retry with the same key returns it and never charges twice. The key
    is bound to this payment permanently, even if the payment was declined.
    """
    return container().money.payments.deposit(caller(), wanted["amount"], receipt(_deposited))


@blp.post("/wallet/transfers")
@private
@budget(relational=13, sessions=1)
@blp.arguments(SendingSchema)
@blp.response(201, TransferSchema, headers=LOCATION)
@blp.raises(403, 404, 503)
@idempotent(required=True)
def create_transfer(wanted: dict[str, Any]) -> Answer:
    """Send money to another account."""
    return container().money.wallets.send(caller(), Sending(**wanted), receipt(_created))


@blp.get("/wallet/transfers/<uuid:transfer_id>")
@private
@budget(relational=1, sessions=1)
@blp.response(200, TransferSchema)
@blp.raises(404)
def get_transfer(transfer_id: UUID) -> Response:
    """Get a transfer to or from your wallet: a deposit, money sent, a payment of an order, a refund."""
    return answers.thing(transfer_body(container().money.wallets.read(caller(), transfer_id), caller()), 1)


def _created(made: Transfer) -> Response:
    return answers.created(transfer_body(made, made.debit), f"{BASE}/wallet/transfers/{made.id}")


def _deposited(made: Payment) -> Response:
    owner = caller()
    return _created(Transfer(made.reference, made.kind, PROVIDER, owner, made.money, made.at))


def only_currency() -> str | None:
    """The only currency of the caller's wallet, None for an empty one. Raises `BadRequest` if there are several."""
    held = [b.currency for b in container().stores.relational.ledger.wallet(caller())]
    if len(held) > 1:
        raise BadRequest(f"currency: one of {', '.join(held)}", code="bad_query")
    return held[0] if held else None


def entry_items(entries: list[Entry], currency: str) -> list[bytes]:
    others = container().stores.relational.accounts.get({e.other for e in entries}) if entries else {}
    return [entry_item(e, currency, others.get(e.other)) for e in entries]


def _balance(currency: str, at: datetime | None) -> dict[str, Any]:
    ledger, owner = container().stores.relational.ledger, caller()
    if at is not None:
        return {"amount": ledger.balance_at(owner, currency, at), "currency": currency}
    owned = sum(b.posted for b in ledger.wallet(owner) if b.currency == currency)
    return {"amount": owned, "currency": currency}


def balance_item(balance: Balance) -> bytes:
    amounts = {"posted": balance.posted, "held": balance.held, "available": balance.available}
    return encode(
        {"currency": balance.currency} | {name: Money(amount, balance.currency) for name, amount in amounts.items()}
    )


def entry_item(entry: Entry, currency: str, other: Account | None) -> bytes:
    return encode(
        {
            "sequence": entry.sequence,
            "transfer_id": entry.transfer_id,
            "kind": entry.kind,
            "other": msgspec.Raw(account_part(other)) if other else None,
            "order_id": entry.order_id,
            "amount": Money(entry.amount, currency),
            "balance": Money(entry.balance, currency),
            "memo": entry.memo,
            "reference": entry.reference if entry.amount < 0 else None,
            "at": moment(entry.at),
        }
    )


def transfer_body(transfer: Transfer, reader: UUID) -> bytes:
    return encode(
        {
            "id": transfer.id,
            "kind": transfer.kind,
            "from_id": None if transfer.debit == PROVIDER else transfer.debit,
            "to_id": None if transfer.credit == PROVIDER else transfer.credit,
            "amount": transfer.amount,
            "order_id": transfer.order_id,
            "memo": transfer.memo,
            "reference": transfer.reference if transfer.debit == reader else None,
            "created_at": moment(transfer.created_at),
        }
    )
