"""Bearer tokens (RFC 6750): resolved once a request, before the view."""

from typing import Any

from flask import Flask, current_app, request

from app.container import Container
from app.errors import Unauthenticated
from app.http.edge import limiting
from app.http.edge.blueprint import BASE
from app.http.edge.deps import container, sign
from repositories.records import Session

# Key in the WSGI environ: the session, or the error in its place, where the fast path has asked for it.
SIGNED_IN = "quartet.session"


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
    known = request.environ.get(SIGNED_IN)
    if isinstance(known, Exception):
        raise known
    sign(known or session_of(container(), sent, limiting.caller_address()))


def session_of(container: Container, sent: str, address: str) -> Session:
    """`sent` is the header's value. Raises `Unauthenticated`."""
    scheme, _, token = sent.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the Authorization header must be `Bearer <token>`", code="invalid_token")
    return container.people.sessions.authenticate(token.strip(), address)


def early_session(container: Container, environ: dict[str, Any]) -> Session | None:
    """For the fast path, which has a token. None for an error: `resolve` raises it where it is answered."""
    address = limiting.of_caller(environ, container)
    try:
        found: Session | Exception = session_of(container, environ["HTTP_AUTHORIZATION"], address)
    except Exception as error:  # noqa: BLE001
        found = error
    environ[SIGNED_IN] = found
    return found if isinstance(found, Session) else None
