"""The log's line for each answer. Where the log is JSON it is put into words here: there is one for every request."""

import logging
import time
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

import structlog

NAME = "quartet.http"
_log = structlog.get_logger(NAME)
_plain = logging.getLogger(NAME)
_root = logging.getLogger()


def log_request(request_id: str, method: str, route: str, status: int, seconds: float) -> None:
    """Log one answer. The line is the same in each log format."""
    if not _plain.isEnabledFor(logging.INFO):
        return
    ms = round(seconds * 1000, 1)
    lines: Any = _root.handlers[0] if len(_root.handlers) == 1 else None
    if not getattr(lines, "takes_json", False):
        structlog.contextvars.bind_contextvars(request_id=request_id)
        _log.info("request", method=method, route=route, status=status, ms=ms)
        return
    lines.write(_Line((method, route, status, ms, request_id, time.time())))


class _Line(tuple[str, str, int, float, str, float]):
    """Put into words when it is written: by one thread for many lines, and not while somebody waits for an answer."""

    __slots__ = ()

    def __str__(self) -> str:
        method, route, status, ms, request_id, at = self
        now = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
        return (
            f'{{"method": {quoted(method)}, "route": {quoted(route)}, "status": {status}, "ms": {ms}, '
            f'"event": "request", "request_id": {quoted(request_id)}, "logger": "{NAME}", "level": "info", '
            f'"timestamp": "{now}"}}'
        )
