"""Answers 503 `overloaded`, before Flask, to requests that the gate refuses. A refusal must be cheap to be of use.

Everything except the request id is prepared in advance. Refusals are counted and logged a moment later, many of them
in one log line. `tests/http/test_overload.py` compares the answer with Flask's.
"""

import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any, cast

import structlog
from flask import Flask

from app.container import Container
from app.http.edge import caching, cors, errors, tracing
from app.http.edge.blueprint import BASE
from app.http.edge.deps import CONTAINER
from repositories import meter

# Never refused: what operators watch, and live streams, which hold their thread longer than any request.
SPARED = frozenset({"/health/live", "/health/ready", "/metrics", f"{BASE}/feed/stream"})
DETAIL = "the server has more requests than it can answer soon"
GATHERED_SECONDS = 0.25
# Python's switch interval while requests are refused; the usual one is 5 ms. A thread that waits for the GIL wakes up
# at this interval and takes it from the working thread. Many threads wait for the GIL while requests are refused, and
# their wake-ups would use a good part of the processor.
SWITCH_SECONDS = 0.05
# After this long without a refusal, the usual switch interval is restored.
CALM_SECONDS = 1.0
_log = structlog.get_logger("quartet.http")
# Placeholder for the request id in the prepared body.
_ANY = "0" * 16


def spared(environ: dict[str, Any]) -> bool:
    return environ.get("PATH_INFO") in SPARED


class Refusal:
    """WSGI-like callable that answers for the gate in place of the application."""

    def __init__(
        self,
        app: Flask,
        gathered_seconds: float = GATHERED_SECONDS,
        calm_seconds: float = CALM_SECONDS,
        switch: Callable[[float], None] = sys.setswitchinterval,
    ) -> None:
        """Refusals are counted and logged together, `gathered_seconds` after the first of them.

        `switch` sets the interpreter's switch interval in seconds. The usual interval is restored after `calm_seconds`
        without a refusal.
        """
        self._gathered_seconds = gathered_seconds
        self._calm_seconds = calm_seconds
        self._switch = switch
        origins = frozenset(cast("Container", app.extensions[CONTAINER]).settings.origins)
        self._answer: cors.Wsgi = cors.Cors(self._plain, origins) if origins else self._plain
        self._before, self._after = errors.encoded(503, "overloaded", DETAIL, _ANY).split(_ANY.encode())
        self._fields = [
            ("Content-Type", errors.PROBLEM),
            ("Retry-After", errors.RETRY_SECONDS),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", caching.PRIVATE),
            ("Vary", ", ".join(caching.VARY)),
            ("Server-Timing", "app;dur=0.00"),
        ]
        self._reasons = deque[str]()
        self._pending = threading.Event()
        self._reporter: threading.Thread | None = None
        self._guard = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any, reason: str) -> Iterable[bytes]:
        self._reasons.append(reason)
        if not self._pending.is_set():
            self._begin()
        return self._answer(environ, start_response)

    def report(self) -> None:
        """Count and log the refusals since the last call."""
        for reason, n in Counter(self._reasons.popleft() for _ in range(len(self._reasons))).items():
            meter.counted("refused", n, reason)
            _log.warning("overloaded", reason=reason, refused=n)

    def _plain(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        asked_by = tracing.id_of(environ.get("HTTP_X_REQUEST_ID", ""))
        body = b"%b%b%b" % (self._before, asked_by.encode(), self._after)
        fields = [*self._fields, ("Content-Length", str(len(body))), (tracing.HEADER, asked_by)]
        start_response("503 SERVICE UNAVAILABLE", fields)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _begin(self) -> None:
        with self._guard:
            self._pending.set()
            if self._reporter is None:
                self._reporter = threading.Thread(target=self._report_loop, name="refusals", daemon=True)
                self._reporter.start()

    def _report_loop(self) -> None:
        pause, usual = threading.Event(), sys.getswitchinterval()
        while self._pending.wait():
            self._switch(SWITCH_SECONDS)
            pause.wait(self._gathered_seconds)
            self._pending.clear()
            self.report()
            if not self._pending.wait(self._calm_seconds):
                self._switch(usual)
