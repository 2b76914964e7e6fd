"""Routes for operators: by the token of a setting, and not in the document of the API."""

import functools
import hmac

from flask import request

from app.errors import Unauthenticated, WebhooksOff
from app.http.edge.blueprint import View
from app.http.edge.deps import container

OPERATOR = "/operator"


def operator(view: View) -> View:
    """For whoever sends the token of `QUARTET_WEBHOOKS_TOKEN`. Put it right under the route."""

    @functools.wraps(view)
    def guarded(*args: object, **kwargs: object) -> object:
        _check(request.headers.get("Authorization", ""))
        return view(*args, **kwargs)

    guarded.access = "operator"  # type: ignore[attr-defined]  # as `private` does
    return guarded  # type: ignore[return-value]  # same signature as the view


def _check(sent: str) -> None:
    """Raises `WebhooksOff` where there is no token, and `Unauthenticated` for another one."""
    tokens = container().settings.webhooks_tokens
    if not tokens:
        raise WebhooksOff
    scheme, _, token = sent.partition(" ")
    if not sent:
        raise Unauthenticated("this needs the operators' token")
    given = token.strip().encode()
    if scheme.lower() != "bearer" or not any(hmac.compare_digest(given, one.encode()) for one in tokens):
        raise Unauthenticated("this is not the operators' token", code="invalid_token")
