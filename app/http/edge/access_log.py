"""The access log: one line per answer.

Since there is one for every request, lines in JSON go straight to the handler, bypassing structlog and `logging`
(docs/decisions/0017-access-line-and-retries.md).
"""

import logging
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from msgspec import UNSET, UnsetType

from app.telemetry import spans

NAME = "quartet.http"
_log = structlog.get_logger(NAME)
_plain = logging.getLogger(NAME)
_root = logging.getLogger()


def log_request(request_id: str, method: str, route: str, status: int, seconds: float) -> None:
    """Log one answer, which took `seconds`. Each log format has the same fields."""
    if not _plain.isEnabledFor(logging.INFO):
        return
    ms = round(seconds * 1000, 1)
    lines: Any = _root.handlers[0] if len(_root.handlers) == 1 else None
    if not getattr(lines, "takes_json", False):
        structlog.contextvars.bind_contextvars(request_id=request_id)
        _log.info("request", method=method, route=route, status=status, ms=ms)
        return
    now = datetime.now(UTC)
    traced = spans.logged() or UNSET
    lines.write(
        _Line(method=method, route=route, status=status, ms=ms, request_id=request_id, trace_id=traced, timestamp=now)
    )


class _Line(msgspec.Struct, kw_only=True):
    """A line in JSON. `str` encodes it when it is written, mostly on the log's own thread, many lines at a time."""

    method: str
    route: str
    status: int
    ms: float
    event: str = "request"
    request_id: str
    trace_id: str | UnsetType
    logger: str = NAME
    level: str = "info"
    timestamp: datetime

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()
