"""Routes for operators. They take a token from the settings and are not in the API document."""

import functools
import hmac

from flask import request

from app.errors import Unauthenticated, WebhooksOff
from app.http.edge.blueprint import View
from app.http.edge.deps import container

OPERATOR = "/operator"


def operator(view: View) -> View:
    """Require a token of `QUARTET_WEBHOOKS_TOKEN`. Must be the outermost decorator below the route."""

    @functools.wraps(view)
    def guarded(*args: object, **kwargs: object) -> object:
        _check(request.headers.get("Authorization", ""))
        return view(*args, **kwargs)

    guarded.access = "operator"  # type: ignore[attr-defined]  # as `private` does
    return guarded  # type: ignore[return-value]  # same signature as the view


def _check(sent: str) -> None:
    """Raises `WebhooksOff` if no token is configured, `Unauthenticated` for a missing or wrong one."""
    tokens = container().settings.webhooks_tokens
    if not tokens:
        raise WebhooksOff
    scheme, _, token = sent.partition(" ")
    if not sent:
        raise Unauthenticated("this needs the operators' token")
    given = token.strip().encode()
    if scheme.lower() != "bearer" or not any(hmac.compare_digest(given, one.encode()) for one in tokens):
        raise Unauthenticated("this is not the operators' token", code="invalid_token")
