"""Request ids, the request's span, and what is done at the end of every request.

The request id is the client's if it is well-formed, else a new one. It is in the answer and in every log line. The span
covers everything that answers the request. A request that the gate refuses has no span: a refusal must be cheap. At the
end, an answer gets the header fields that all answers have, is counted in the metrics and written to the access log.
"""

import random
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from flask import Flask, Response, current_app, g, request

from app.http.edge import access_log, caching, limiting
from app.http.edge.deps import container, request_id, start
from app.http.edge.metrics import answered
from app.http.edge.server_timing import server_timing
from app.telemetry import request_trace, spans
from repositories import meter

HEADER = "X-Request-Id"
SOUND = re.compile(r"[A-Za-z0-9._-]{8,64}")
# Key in the WSGI environ: the `RequestStart` made by the fast path.
BEGUN = "quartet.begun"
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def id_of(sent: str) -> str:
    """The request id: `sent` (the client's header, may be empty) if it is well-formed, else a new random id."""
    # An id is no secret, so `random` is enough. The system's generator releases the GIL and costs a thread switch.
    return sent if sent and SOUND.fullmatch(sent) else f"{random.getrandbits(64):016x}"


class RequestStart:
    """Id, start time and tally of round trips of a request. `sent` is the id that the client sent, or ""."""

    __slots__ = ("at", "id", "tally")

    def __init__(self, sent: str) -> None:
        self.id = id_of(sent)
        self.at = time.perf_counter()
        self.tally = meter.begin()


def register(app: Flask) -> None:
    """Register after the fast path."""
    app.wsgi_app = Traced(app.wsgi_app)  # type: ignore[method-assign]  # Flask's documented way
    app.before_request(_begin)
    app.after_request(_end)


class Traced:
    """WSGI middleware that opens the request's span. A streamed body is sent after the span has ended."""

    def __init__(self, inner: Wsgi) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with spans.request(environ):
            return self._inner(environ, start_response)


def _begin() -> None:
    g.begun = request.environ.get(BEGUN) or RequestStart(request.headers.get(HEADER, ""))
    start(g.begun.id)
    name(g.begun.id)


def name(request_id: str) -> None:
    """Attach this id to the log lines and events of this thread from now on.

    The next request overwrites it, and nothing else is bound, so nothing has to be cleared.
    """
    structlog.contextvars.bind_contextvars(request_id=request_id)
    request_trace.begin(request_id)


def finished() -> None:
    """Mark the answer as complete: its header fields are set and it is counted, so `_end` leaves it alone."""
    g.finished = True


def _end(response: Response) -> Response:
    """Set the header fields of every answer, count it and log it. The fast path sets the same fields in this order."""
    if g.get("finished"):
        return response
    begun: RequestStart = g.get("begun") or RequestStart("")
    response.headers[HEADER] = request_id()
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    caching.add_headers(response)
    for name, value in limiting.fields(g.get("verdict"), container().people.throttle.asking):
        response.headers[name] = value
    elapsed = time.perf_counter() - begun.at
    response.headers["Server-Timing"] = server_timing(begun.tally, elapsed)
    route = request.url_rule.rule if request.url_rule else None
    answered(current_app, route, request.method, response.status_code, elapsed)
    access_log.log_request(begun.id, request.method, str(route), response.status_code, elapsed)
    return response
