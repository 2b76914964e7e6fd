"""One id per request: taken from the client where it is sound, answered, logged with everything that follows."""

import logging
import re
import secrets
import time
from dataclasses import dataclass, field

import structlog
from flask import Flask, Response, current_app, g, request

from app.http import caching, limiting
from app.http.deps import container, request_id, start
from app.http.metrics import answered, server_timing
from repositories import meter

HEADER = "X-Request-Id"
SOUND = re.compile(r"[A-Za-z0-9._-]{8,64}")
# In the WSGI environ: what was begun for this request before Flask.
BEGUN = "quartet.begun"
LOGGER = "quartet.http"
log = structlog.get_logger(LOGGER)
# structlog does all its work before the level is looked at.
_plain = logging.getLogger(LOGGER)


@dataclass
class Begun:
    """What is kept of a request from its first moment."""

    id: str
    at: float = field(default_factory=time.perf_counter)
    tally: meter.Tally = field(default_factory=meter.begin)


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)


def begin(sent: str) -> Begun:
    """Start what is counted and logged for a request, on its own thread. `sent` is the id that the client gave."""
    begun = Begun(sent if SOUND.fullmatch(sent) else secrets.token_hex(8))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=begun.id)
    return begun


def tell(method: str, route: str, status: int, seconds: float) -> None:
    """The line of the log for an answer."""
    if _plain.isEnabledFor(logging.INFO):
        log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


def _begin() -> None:
    g.begun = request.environ.get(BEGUN) or begin(request.headers.get(HEADER, ""))
    start(g.begun.id)


def _end(response: Response) -> Response:
    """Set the fields of every answer. The fast path writes the same ones in the same order."""
    begun: Begun = g.get("begun") or Begun("")
    response.headers[HEADER] = request_id()
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    caching.tell(response)
    for name, value in limiting.fields(g.get("verdict"), container().throttle.asking):
        response.headers[name] = value
    elapsed = time.perf_counter() - begun.at
    response.headers["Server-Timing"] = server_timing(begun.tally, elapsed)
    route = request.url_rule.rule if request.url_rule else None
    answered(current_app, route, request.method, response.status_code, elapsed)
    tell(request.method, str(route), response.status_code, elapsed)
    return response
