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

blp = Blueprint("mailed-tokens", "Tokens by mail: a new password, the proof of an e-mail address")
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
    """Ask for a mail with a token that sets a new password, once, within an hour.

    The answer is the same whether or not an account has this address, and comes before anything is sent. A later mail
    makes the token of an earlier one worthless.
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
    """Set a new password with a token that came by mail. It ends every session, and proves the e-mail address.

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
    """Ask for a mail to one's own address with a token that proves it, once, within two days.

    None is sent for an address that is verified: `email_verified` of one's own account says so.
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
    """Prove an e-mail address with a token that came by mail. It needs no session.

    A wrong token counts as a failed sign-in.
    """
    people = container().people
    with people.throttle.guess("mailed token", caller_address()):
        people.mailed_tokens.verify(wanted["token"])
    return answers.nothing()
