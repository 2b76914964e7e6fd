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
    forfeit = JsonBoolean(
        load_default=False, metadata={"description": "give up the money in the wallet and in open payments"}
    )


@blp.delete("/accounts/me")
@private
@budget(relational=36, documents=8, sessions=2, cache=4)
@blp.arguments(AccountDeletionSchema)
@blp.response(204)
@blp.raises(403, 409, 429, 503)
def delete_account(wanted: dict[str, Any]) -> Response:
    """Delete your own account permanently. The body must contain the password.

    Profile, posts, comments, likes, follows, blocks, products and sessions have disappeared when the response arrives.
    Orders and wallet entries remain and refer to an id that no longer has an account. The handle cannot be registered
    for 30 days. A wrong password counts as a failed sign-in.

    Refused while orders for your products are placed or paid (`orders_unfinished`: fulfil or refund them), while the
    payment provider has not confirmed the outcome of a deposit or a payout (`payments_open`: retry in a moment, or
    `forfeit` the money), and while there is money in the wallet, held or not (`money_left`: send it to another account,
    or `forfeit` it).
    """
    people, current = container().people, session()
    with people.throttle.guess(str(current.account_id), caller_address()):
        people.deletion.delete(current, wanted["password"], forfeit=wanted["forfeit"])
    container().content.departures.begin(current.account_id)
    return answers.nothing()
