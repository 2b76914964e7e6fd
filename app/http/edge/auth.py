"""Bearer tokens (RFC 6750): resolved once a request, before the view."""

from flask import Flask, current_app, request

from app.errors import Unauthenticated
from app.http.edge.blueprint import BASE
from app.http.edge.deps import container, sign
from app.http.edge.limiting import caller_address


def register(app: Flask) -> None:
    app.before_request(resolve)


def resolve() -> None:
    """A token that is sent must be good, also where none is needed: a client with a dead one gets a 401.

    Where there is no such route or method, that is the answer.
    """
    sent = request.headers.get("Authorization")
    view = current_app.view_functions.get(request.endpoint or "")
    if sent is None or view is None or not request.path.startswith(BASE) or getattr(view, "anonymous", False):
        sign(None)
        return
    scheme, _, token = sent.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the Authorization header must be `Bearer <token>`", code="invalid_token")
    sign(container().people.sessions.authenticate(token.strip(), caller_address()))
