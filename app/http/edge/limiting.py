"""Rate limits at the edge: 429 with `Retry-After`, and on every limited answer the `RateLimit` fields.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10. Each request is counted once, by the fast path or here.
"""

import math
from collections.abc import Mapping
from typing import Any

from flask import Flask, g, request

from app.errors import TooMany
from app.http.edge.blueprint import BASE
from app.http.edge.deps import container, session_or_none
from repositories.hot import Rate, Verdict

# In the WSGI environ: the request has been counted.
COUNTED = "quartet.counted"
POLICY = "default"


def register(app: Flask) -> None:
    """After `auth`, which says whose request it is."""
    app.before_request(check)


def check() -> None:
    """Count the request against its account, or its address. Raises `TooMany`."""
    throttle = container().people.throttle
    if throttle.asking is None or not request.path.startswith(BASE):
        return
    found: Verdict | None = request.environ.get(COUNTED)
    if found is None:
        session = session_or_none()
        found = throttle.request(f"account:{session.account_id}" if session else f"address:{caller_address()}")
    g.verdict = found
    if found is not None and not found.allowed:
        raise TooMany("too many requests", found.retry)


def address(environ: Mapping[str, Any], proxies: int) -> str:
    """Whom the outermost of our own proxies saw, or the server without proxies; never what a client wrote itself."""
    peer = str(environ.get("REMOTE_ADDR") or "")
    if not proxies:
        return peer
    seen = [part.strip() for part in str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",") if part.strip()]
    return seen[-proxies] if len(seen) >= proxies else peer


def caller_address() -> str:
    return address(request.environ, container().settings.proxies)


def fields(found: Verdict | None, rate: Rate | None) -> list[tuple[str, str]]:
    """The headers of a limited answer."""
    if found is None or rate is None:
        return []
    window = math.ceil(rate.burst / rate.per_second)
    return [
        ("RateLimit-Policy", f'"{POLICY}";q={rate.burst};w={window}'),
        ("RateLimit", f'"{POLICY}";r={found.remaining};t={math.ceil(found.reset)}'),
    ]
