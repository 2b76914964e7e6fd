"""`/accounts/me/password`, `/accounts/me/email`: changing one's credentials. Documented beside signing in."""

from typing import Any

import marshmallow as ma
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import budget, private
from app.http.edge.deps import caller, container, session
from app.http.edge.fields import MailAddress, NewPassword, Text
from app.http.edge.limiting import caller_address
from app.http.resources.sessions import blp


class PasswordChangeSchema(ma.Schema):
    current_password = Text(required=True, validate=ma.validate.Length(1, 256))
    new_password = NewPassword()


class EmailChangeSchema(ma.Schema):
    password = Text(required=True, validate=ma.validate.Length(1, 256))
    email = MailAddress()


@blp.put("/accounts/me/password")
@private
@budget(relational=10, sessions=2, cache=2)
@blp.arguments(PasswordChangeSchema)
@blp.response(204)
@blp.raises(403, 429, 503)
def change_password(wanted: dict[str, Any]) -> Response:
    """Change your password, and sign out every other device.

    A wrong current password counts as a failed sign-in.
    """
    people, current = container().people, session()
    with people.throttle.guess(str(current.account_id), caller_address()):
        people.password_changes.change(current, wanted["current_password"], wanted["new_password"])
    return answers.nothing()


@blp.put("/accounts/me/email")
@private
@budget(relational=7, sessions=1, cache=4)
@blp.arguments(EmailChangeSchema)
@blp.response(204)
@blp.raises(403, 409, 429, 503)
def change_email(wanted: dict[str, Any]) -> Response:
    """Change your e-mail address. The new address is unverified; the previous address is notified by mail.

    Tokens that were mailed before do not work any more. A wrong password counts as a failed sign-in, and each change as
    a request for mail.
    """
    people, me = container().people, caller()
    people.throttle.mail(str(me), caller_address())
    with people.throttle.guess(str(me), caller_address()):
        people.email_changes.change(me, wanted["password"], wanted["email"])
    return answers.nothing()
