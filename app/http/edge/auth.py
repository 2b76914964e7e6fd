"""Bearer tokens (RFC 6750), resolved to a session once per request, before the view."""

from typing import Any

from flask import Flask, current_app, request

from app.container import Container
from app.errors import Unauthenticated
from app.http.edge import limiting
from app.http.edge.blueprint import BASE
from app.http.edge.deps import container, sign
from repositories.records.people import Session

# Key in the WSGI environ: the session that the fast path has looked up, or the exception of that look-up.
SIGNED_IN = "quartet.session"


def register(app: Flask) -> None:
    app.before_request(resolve)


def resolve() -> None:
    """Resolve the token, if one is sent. Raises `Unauthenticated` if it is invalid, even where no token is needed.

    Does nothing for an unknown route or method (those answer 404 or 405) and for views marked `anonymous`.
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
    """The session of a token. `sent` is the value of `Authorization`. Raises `Unauthenticated`."""
    scheme, _, token = sent.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the Authorization header must be `Bearer <token>`", code="invalid_token")
    return container.people.sessions.authenticate(token.strip(), address)


def early_session(container: Container, environ: dict[str, Any]) -> Session | None:
    """Look up the session for the fast path, where `Authorization` is sent.

    None for any error, which is kept in the environ: `resolve` raises it inside Flask, where it is answered.
    """
    address = limiting.of_caller(environ, container)
    try:
        found: Session | Exception = session_of(container, environ["HTTP_AUTHORIZATION"], address)
    except Exception as error:  # noqa: BLE001
        found = error
    environ[SIGNED_IN] = found
    return found if isinstance(found, Session) else None
