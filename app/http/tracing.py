"""One id per request: taken from the client where it is sound, answered, logged with everything that follows."""

import re
import secrets
import time
from typing import cast

import structlog
from flask import Flask, Response, current_app, g, request

from app.http.deps import request_id, start
from app.http.metrics import answered, server_timing
from repositories import meter

HEADER = "X-Request-Id"
SOUND = re.compile(r"[A-Za-z0-9._-]{8,64}")
log = structlog.get_logger("quartet.http")


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    sent = request.headers.get(HEADER, "")
    start(sent if SOUND.fullmatch(sent) else secrets.token_hex(8))
    g.began = time.perf_counter()
    g.tally = meter.begin()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id())


def _end(response: Response) -> Response:
    response.headers[HEADER] = request_id()
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    shared = request.method in {"GET", "HEAD", "OPTIONS"} and "Authorization" not in request.headers
    personal = not shared or response.status_code >= 400
    response.headers.setdefault("Cache-Control", "private, no-store" if personal else "no-cache")
    response.vary.add("Authorization")
    elapsed = time.perf_counter() - cast("float", g.get("began", time.perf_counter()))
    response.headers["Server-Timing"] = server_timing(g.get("tally") or meter.Tally(), elapsed)
    route = request.url_rule.rule if request.url_rule else None
    answered(current_app, route, request.method, response.status_code, elapsed)
    log.info(
        "request",
        method=request.method,
        route=str(request.url_rule),
        status=response.status_code,
        ms=round(elapsed * 1000, 1),
    )
    return response
