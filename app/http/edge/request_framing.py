"""Whether a request arrived whole and plain, before anything is done for it (RFC 9112, sections 6 and 8).

A body that was announced and is not there, or not all of it, is never "no body": on routes where a body is optional
its absence means something, all notifications read for one.
"""

from flask import Flask, current_app, request
from werkzeug.exceptions import ClientDisconnected, MethodNotAllowed, RequestEntityTooLarge

from app.errors import BadRequest, CodedBody, Overloaded, TooMany, TooSlow, UnknownFraming
from app.http.edge.caching import READS
from app.http.edge.deps import session_or_none
from app.server.bodies import CROWDED, LATE, WITHOUT

PLAIN = frozenset({"", "identity"})


def register(app: Flask) -> None:
    """`refuse` comes first. This comes after `auth` and the limits: who is refused by those need not send a body."""
    app.before_request(check)


def refuse() -> None:
    """Where the method is spelled as none is, or the server did not get the body. Before a store is asked."""
    method = request.environ["REQUEST_METHOD"]
    if method != method.upper() and request.url_rule is not None:
        # RFC 9110, 9.1: they are case-sensitive, which werkzeug's requests forget. A proxy's rules for POST are not for
        # `post`.
        raise MethodNotAllowed(sorted(request.url_rule.methods or ()))
    without = request.environ.get(WITHOUT)
    if without == LATE:
        raise TooSlow("the body took too long to arrive")
    if without == CROWDED:
        raise TooMany("too many bodies are awaited from this address", 1)
    if without is not None:
        raise Overloaded("too many bodies are awaited")


def check() -> None:
    """Read the body where one is announced. Raises `UnknownFraming`, `CodedBody`, `BadRequest`."""
    coding = request.headers.get("Transfer-Encoding", "")
    if coding and coding.strip().lower() != "chunked":
        raise UnknownFraming("of all transfer codings only chunked is understood")
    if request.method in READS or is_strange():
        return
    if request.headers.get("Content-Encoding", "").strip().lower() not in PLAIN:
        raise CodedBody("the body must be sent without a content coding")
    if coding or request.content_length:
        _whole(chunked=bool(coding))


def is_strange() -> bool:
    """Whether nobody is signed in where somebody must be, or there is no such route."""
    view = current_app.view_functions.get(request.endpoint or "")
    return view is None or (getattr(view, "access", None) == "private" and session_or_none() is None)


def _whole(*, chunked: bool) -> None:
    """Flask keeps what was read."""
    try:
        size = len(request.get_data(cache=True))
    except ClientDisconnected:
        size = 0
    if chunked and size == request.max_content_length and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge
    if size < (1 if chunked else request.content_length or 0):
        raise BadRequest("the body ended before all of it had arrived", code="incomplete_body")
