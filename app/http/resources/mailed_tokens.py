"""`/password-resets`, `/email-verifications`: requesting tokens by mail, and using them."""

from typing import Any

import marshmallow as ma
from flask import Response

from app.http.edge import answers
from app.http.edge.blueprint import Blueprint, anonymous, budget, private
from app.http.edge.deps import caller, container
from app.http.edge.fields import NewPassword, Text
from app.http.edge.idempotency import idempotent
from app.http.edge.limiting import caller_address

blp = Blueprint("mailed-tokens", "Tokens sent by mail: password resets and e-mail verification")
TOKEN = ma.validate.Length(1, 256)


class PasswordResetSchema(ma.Schema):
    # Not `MailAddress`: an account may have an address that can no longer be registered.
    email = ma.fields.Email(required=True, validate=ma.validate.Length(max=254))


class NewPasswordSchema(ma.Schema):
    token = Text(required=True, validate=TOKEN)
    new_password = NewPassword()


class EmailVerificationSchema(ma.Schema):
    token = Text(required=True, validate=TOKEN)


@blp.post("/password-resets")
@anonymous
@budget(relational=13, cache=2)
@blp.arguments(PasswordResetSchema)
@blp.response(204)
@blp.raises(429, 501, 503)
@idempotent()
def request_password_reset(wanted: dict[str, Any]) -> Response:
    """Request a mail with a token to set a new password. The token can be used once, within an hour.

    The response is the same whether or not an account has this address, and is given before a mail is sent. A later
    mail invalidates the token of an earlier one.
    """
    people = container().people
    people.throttle.mail(wanted["email"], caller_address())
    people.mailed_tokens.request_reset(wanted["email"])
    return answers.nothing()


@blp.post("/password-resets/confirm")
@anonymous
@budget(relational=23, sessions=1, cache=2)
@blp.arguments(NewPasswordSchema)
@blp.response(204)
@blp.raises(403, 429, 503)
@idempotent()
def reset_password(wanted: dict[str, Any]) -> Response:
    """Set a new password with a token from a mail. Ends all sessions and marks the e-mail address as verified.

    A wrong token counts as a failed sign-in.
    """
    people = container().people
    with people.throttle.guess("mailed token", caller_address()):
        people.mailed_tokens.reset(wanted["token"], wanted["new_password"])
    return answers.nothing()


@blp.post("/accounts/me/email-verification")
@private
@budget(relational=11, sessions=1, cache=2)
@blp.response(204)
@blp.raises(429, 501, 503)
@idempotent()
def request_email_verification() -> Response:
    """Request a mail with a token to verify your address. The token can be used once, within two days.

    No mail is sent if the address is already verified (`email_verified` of your own account).
    """
    people = container().people
    people.throttle.mail(str(caller()), caller_address())
    people.mailed_tokens.request_verification(caller())
    return answers.nothing()


@blp.post("/email-verifications/confirm")
@anonymous
@budget(relational=13, cache=2)
@blp.arguments(EmailVerificationSchema)
@blp.response(204)
@blp.raises(403, 429, 503)
@idempotent()
def verify_email(wanted: dict[str, Any]) -> Response:
    """Verify an e-mail address with a token from a mail. Needs no session.

    A wrong token counts as a failed sign-in.
    """
    people = container().people
    with people.throttle.guess("mailed token", caller_address()):
        people.mailed_tokens.verify(wanted["token"])
    return answers.nothing()
