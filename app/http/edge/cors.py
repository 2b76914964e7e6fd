"""CORS (WHATWG Fetch, section 3.3): browser apps of the origins in `QUARTET_CORS_ORIGINS` may use the API.

Tokens are sent in `Authorization` and never in cookies, so `Access-Control-Allow-Credentials` is not sent. Pattern:
decorator around the WSGI application, so that errors and answers of the fast path have the fields too.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

from flask import Flask, Response, request

from app.container import Container
from app.http.edge import answers
from app.http.edge.deps import CONTAINER

Environ = dict[str, Any]
Fields = list[tuple[str, str]]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]
# How long a browser may cache the answer to a preflight. Browsers have limits of their own.
KEPT_SECONDS = 3600
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID, X-Request-Id,"
        " Quartet-Seen, traceparent, tracestate"
    ),
    "Access-Control-Max-Age": str(KEPT_SECONDS),
}
EXPOSED = (
    "ETag, Location, Retry-After, Idempotent-Replayed, RateLimit, RateLimit-Policy, X-Request-Id, Age, Cache-Status,"
    " Server-Timing, Quartet-Seen, WWW-Authenticate, Content-Disposition"
)


def register(app: Flask) -> None:
    """Register after the fast path and `tracing`, and before every hook that could refuse a preflight."""
    origins = frozenset(cast("Container", app.extensions[CONTAINER]).settings.origins)
    if origins:
        app.before_request(Preflight(origins))
        app.wsgi_app = Cors(app.wsgi_app, origins)  # type: ignore[method-assign]  # Flask's documented way


class Preflight:
    """Answers preflights the same on every path, also unknown ones: the app then sees the error of the real request."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def __call__(self) -> Response | None:
        asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not asked or request.headers.get("Origin") not in self._origins:
            return None
        answer = answers.nothing()
        answer.headers.update(PREFLIGHT)
        return answer


class Cors:
    """WSGI middleware. Only allowed origins get the fields. `Vary: Origin` is on every answer, for caches."""

    def __init__(self, inner: Wsgi, origins: frozenset[str]) -> None:
        self._inner = inner
        self._origins = origins

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN")
        own: Fields = []
        if origin in self._origins:
            own = [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED)]

        def start(status: str, fields: Fields, *error: Any) -> Any:
            return start_response(status, [*with_vary(fields, "Origin"), *own], *error)

        return self._inner(environ, start)


def with_vary(fields: Fields, name: str) -> Fields:
    """Add a name to `Vary`, as one field: some caches read only the last one."""
    others = [field for field in fields if field[0].lower() != "vary"]
    names = [value for name, value in fields if name.lower() == "vary"]
    return [*others, ("Vary", ", ".join([*names, name]))]
