"""Checks that a request arrived complete and without codings, before any work is done (RFC 9112, sections 6 and 8).

A body that was announced but is missing or truncated must not count as "no body": on routes with an optional body, its
absence has a meaning, for example "mark all notifications as read".
"""

from flask import Flask, current_app, request
from werkzeug.exceptions import ClientDisconnected, MethodNotAllowed, RequestEntityTooLarge

from app.errors import BadRequest, CodedBody, Overloaded, TooMany, TooSlow, UnknownFraming
from app.http.edge.caching import READS
from app.http.edge.deps import session_or_none
from app.server.bodies import CROWDED, LATE, WITHOUT

PLAIN = frozenset({"", "identity"})


def register(app: Flask) -> None:
    """Register `check` after `auth` and the rate limits: a request refused by those is answered without its body.

    `refuse` is registered separately, before them.
    """
    app.before_request(check)


def refuse() -> None:
    """Refuse a method in lower case, and a request whose body the server did not receive, before any store is called.

    Raises `MethodNotAllowed`, `TooSlow`, `TooMany` or `Overloaded`.
    """
    method = request.environ["REQUEST_METHOD"]
    if method != method.upper() and request.url_rule is not None:
        # Methods are case-sensitive (RFC 9110, 9.1), but werkzeug converts them to upper case. A proxy's rules for
        # POST do not apply to `post`, so accepting it would bypass them.
        raise MethodNotAllowed(sorted(request.url_rule.methods or ()))
    without = request.environ.get(WITHOUT)
    if without == LATE:
        raise TooSlow("the body took too long to arrive")
    if without == CROWDED:
        raise TooMany("too many request bodies are being received from this address", 1)
    if without is not None:
        raise Overloaded("too many request bodies are being received")


def check() -> None:
    """Read the body if one is announced.

    Raises `UnknownFraming`, `CodedBody`, `BadRequest` or `RequestEntityTooLarge`.
    """
    coding = request.headers.get("Transfer-Encoding", "")
    if coding and coding.strip().lower() != "chunked":
        raise UnknownFraming("the only supported transfer coding is chunked")
    if request.method in READS or is_strange():
        return
    if request.headers.get("Content-Encoding", "").strip().lower() not in PLAIN:
        raise CodedBody("the body must be sent without a content coding")
    if coding or request.content_length:
        _read_whole(chunked=bool(coding))


def is_strange() -> bool:
    """Whether the request will be refused anyway: the route does not exist, or is private and nobody is signed in."""
    view = current_app.view_functions.get(request.endpoint or "")
    return view is None or (getattr(view, "access", None) == "private" and session_or_none() is None)


def _read_whole(*, chunked: bool) -> None:
    """Read the whole body, which Flask caches for the view. Raises `BadRequest` if it is truncated."""
    try:
        size = len(request.get_data(cache=True))
    except ClientDisconnected:
        size = 0
    if chunked and size == request.max_content_length and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge
    if size < (1 if chunked else request.content_length or 0):
        raise BadRequest("the body ended before all of it had arrived", code="incomplete_body")
