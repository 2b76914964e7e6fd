"""`/wallet/payouts`: paying money out of a wallet by the payment provider."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import BASE, LOCATION, Blueprint, budget, private
from app.http.edge.deps import caller, container, cursors
from app.http.edge.fields import Moment
from app.http.edge.idempotency import idempotent, receipt
from app.http.edge.paging import PageQuery, by_time, page_of
from app.http.edge.shapes import MoneyShape, MovedMoneySchema
from app.services.pages.fragments import encode, moment
from repositories.records.idempotency import Answer
from repositories.records.payments import Payment

blp = Blueprint("payouts", "Payouts of wallets")


class PayoutDraftSchema(ma.Schema):
    amount = ma.fields.Nested(MovedMoneySchema, required=True)


class PayoutSchema(ma.Schema):
    """A payout. While it is `pending`, its money is held until the payment provider has answered."""

    id = ma.fields.UUID(required=True)
    amount = ma.fields.Nested(MoneyShape, required=True)
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(["pending", "approved", "declined"]))
    created_at = Moment(required=True)
    ended_at = Moment("null while it is pending", required=True, allow_none=True)


PayoutPage = page_of(PayoutSchema, "PayoutPage")


@blp.post("/wallet/payouts")
@private
@budget(relational=26, sessions=1)
@blp.arguments(PayoutDraftSchema)
@blp.response(201, PayoutSchema, headers=LOCATION)
@blp.raises(402, 404, 503)
@idempotent(required=True)
def create_payout(wanted: dict[str, Any]) -> Answer:
    """Pay money out of your wallet through the payment provider.

    The money is held before the provider is called. If the provider declines (402), the hold is released. After a 503
    the outcome is unknown: the money stays held, and a retry with the same key returns the outcome. The sandbox treats
    amounts as for deposits. The key is bound to this payment permanently, even if the payment was declined.
    """
    return container().money.payments.pay_out(caller(), wanted["amount"], receipt(_created))


@blp.get("/wallet/payouts")
@private
@budget(relational=1, sessions=1)
@blp.arguments(PageQuery, location="query")
@blp.response(200, PayoutPage)
def list_payouts(query: dict[str, Any]) -> Response:
    """List your payouts in all states, newest first."""
    owner, limit = caller(), query["limit"]
    scope = f"payouts:{owner}"
    found = container().money.payments.payouts(owner, before=cursors().time(scope, query["cursor"]), limit=limit + 1)
    onward = cursors().onward(scope, found, limit, lambda last: by_time(last.at, last.reference))
    return answers.page(map(payout_body, found[:limit]), onward)


@blp.get("/wallet/payouts/<uuid:payout_id>")
@private
@budget(relational=1, sessions=1)
@blp.response(200, PayoutSchema)
@blp.raises(404)
def get_payout(payout_id: UUID) -> Response:
    """Get one of your payouts."""
    found = container().money.payments.payout(caller(), payout_id)
    return answers.thing(payout_body(found), 1 + (found.ended_at is not None))


def _created(made: Payment) -> Response:
    version = 1 + (made.ended_at is not None)
    return answers.thing(payout_body(made), version, 201, f"{BASE}/wallet/payouts/{made.reference}")


def payout_body(payout: Payment) -> bytes:
    return encode(
        {
            "id": payout.reference,
            "amount": payout.money,
            "state": payout.state,
            "created_at": moment(payout.at),
            "ended_at": moment(payout.ended_at) if payout.ended_at else None,
        }
    )
