"""503 `overloaded` for requests that get no thread, answered before Flask: a refusal must be cheap, or it is no help.

`tests/http/test_overload.py` compares it with what Flask answers.
"""

import time
from collections.abc import Iterable
from typing import Any, cast

from flask import Flask

from app.container import Container
from app.http.edge import access_log, caching, cors, errors, tracing
from app.http.edge.blueprint import BASE
from app.http.edge.deps import CONTAINER
from app.http.edge.metrics import server_timing
from repositories import meter

# What operators look with, and streams, which take their thread for longer than any request.
SPARED = frozenset({"/health/live", "/health/ready", "/metrics", f"{BASE}/feed/stream"})
DETAIL = "the server has more requests than it can answer soon"


def spared(environ: dict[str, Any]) -> bool:
    return environ.get("PATH_INFO") in SPARED


class Refusal:
    """What the gate answers in place of the application. It is counted in a series of its own, which costs less."""

    def __init__(self, app: Flask) -> None:
        origins = frozenset(cast("Container", app.extensions[CONTAINER]).settings.origins)
        self._answer: cors.Wsgi = cors.Cors(self._plain, origins) if origins else self._plain

    def __call__(self, environ: dict[str, Any], start_response: Any, reason: str) -> Iterable[bytes]:
        meter.counted("refused", 1, reason)
        return self._answer(environ, start_response)

    def _plain(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        begun = tracing.RequestStart(environ.get("HTTP_X_REQUEST_ID", ""))
        method = environ["REQUEST_METHOD"]
        body = errors.encoded(503, "overloaded", DETAIL, begun.id)
        elapsed = time.perf_counter() - begun.at
        fields = [
            ("Content-Type", errors.PROBLEM),
            ("Content-Length", str(len(body))),
            ("Retry-After", errors.RETRY_SECONDS),
            (tracing.HEADER, begun.id),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", caching.PRIVATE),
            ("Vary", ", ".join(caching.VARY)),
            ("Server-Timing", server_timing(begun.tally, elapsed)),
        ]
        access_log.log_request(begun.id, method, "None", 503, elapsed)
        start_response("503 SERVICE UNAVAILABLE", fields)
        return [b"" if method == "HEAD" else body]
