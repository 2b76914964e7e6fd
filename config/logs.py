"""Structured logs, as one JSON object per line or in a form for people.

Each line has the ids of the request and of the trace, if there are any.
"""

import logging
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from opentelemetry import trace

from config.structured import structlog

GATHERED_SECONDS = 0.05
MOST_GATHERED = 10_000


class Lines(logging.StreamHandler[TextIO]):
    """A stream handler that also takes finished lines, by `write`.

    They avoid structlog and logging, which take 30 microseconds for a record. They are gathered for `GATHERED_SECONDS`
    and written together, because each write lets another thread run. The order of lines is kept. A process that is
    killed loses the lines of its last `GATHERED_SECONDS`.
    """

    def __init__(self, stream: TextIO, *, json: bool) -> None:
        super().__init__(stream)
        self.takes_json = json
        self._gathered: deque[object] = deque()
        self._pending = threading.Event()
        self._writer: threading.Thread | None = None

    def write(self, line: object) -> None:
        """Queue one line. It is converted by `str` when it is written. Never raises, like every handler."""
        self._gathered.append(line)
        if not self._pending.is_set():
            self._begin()
        elif len(self._gathered) > MOST_GATHERED:
            self.flush()

    def flush(self) -> None:
        """Write all lines that are gathered. When this returns, everything logged before is written."""
        with suppress(OSError, ValueError), self._locked():
            if self._gathered:
                count = len(self._gathered)
                self.stream.write("".join([f"{self._gathered.popleft()}\n" for _ in range(count)]))
            super().flush()

    def emit(self, record: logging.LogRecord) -> None:
        if self._gathered:
            self.flush()
        super().emit(record)

    def _begin(self) -> None:
        with self._locked():
            self._pending.set()
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_loop, name="log", daemon=True)
                self._writer.start()

    def _write_loop(self) -> None:
        pause = threading.Event()
        while self._pending.wait():
            pause.wait(GATHERED_SECONDS)
            self._pending.clear()
            self.flush()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()


def shared(form: str) -> list[structlog.typing.Processor]:
    """The processors for every record, whether it comes from structlog or from the standard library.

    `form` is `json` or `console`.
    """
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_trace,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
    ]
    if form == "json":
        return [
            *processors,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ]
    return [*processors, structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)]


def _with_trace(_logger: object, _name: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add `trace_id`, which is OpenTelemetry's name for it in log formats other than its own."""
    found = trace.get_current_span().get_span_context()
    if found.is_valid:
        fields["trace_id"] = trace.format_trace_id(found.trace_id)
    return fields


def formatter(form: str, *, colors: bool = False) -> logging.Formatter:
    """The formatter of all log lines. Also for servers that configure a handler of their own."""
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=colors, pad_event_to=8, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared(form), processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
    )


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records through one formatter. Safe to call twice."""
    out = stream or sys.stderr
    structlog.configure(
        processors=[*shared(form), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = Lines(out, json=form == "json")
    handler.setFormatter(formatter(form, colors=out.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("pymongo", "alembic", "_granian"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # The driver logs a traceback for every attempt while a node is down. The adapter's own error is logged once.
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
