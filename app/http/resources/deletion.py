"""`DELETE /accounts/me`: deleting one's own account. Documented beside signing in."""

from typing import Any

import marshmallow as ma
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import budget, private
from app.http.edge.deps import container, session
from app.http.edge.fields import JsonBoolean, Text
from app.http.edge.limiting import caller_address
from app.http.resources.sessions import blp


class AccountDeletionSchema(ma.Schema):
    password = Text(required=True, validate=ma.validate.Length(1, 256))
    forfeit = JsonBoolean(load_default=False, metadata={"description": "leave behind what is in the wallet"})


@blp.delete("/accounts/me")
@private
@budget(relational=36, documents=8, sessions=2, cache=4)
@blp.arguments(AccountDeletionSchema)
@blp.response(204)
@blp.raises(403, 409, 429, 503)
def delete_account(wanted: dict[str, Any]) -> Response:
    """Delete one's own account, for good. The body has the password.

    Profile, posts, comments, likes, follows, blocks, products and sessions are gone with the answer. Orders and entries
    of wallets stay, and name an id that nobody has any more. For 30 days nobody gets the handle. A wrong password is
    counted as a failed sign-in.

    Refused while orders with one's products are placed or paid (`orders_unfinished`: fulfil or refund them), while the
    payment provider has not said what became of a deposit or a payout (`payments_open`: ask again in a moment, or
    `forfeit` what may come of it), and while there is money in the wallet, held or not (`money_left`: send it to
    somebody, or `forfeit` it).
    """
    people, current = container().people, session()
    with people.throttle.guess(str(current.account_id), caller_address()):
        people.deletion.delete(current, wanted["password"], forfeit=wanted["forfeit"])
    container().content.departures.begin(current.account_id)
    return answers.nothing()
