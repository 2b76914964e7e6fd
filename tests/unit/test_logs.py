"""The two formats of a log line."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from app.http.edge import access_log
from app.telemetry import spans
from config.logs import configure


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Restore the handlers and levels for other tests."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def told(form: str) -> list[str]:
    """The log lines of a request, of a library's warning and of a failure."""
    out = io.StringIO()
    configure("info", form, out)
    access_log.log_request("abc", "GET", "/posts", 200, 0.0123)
    logging.getLogger("library").warning("careful")
    try:
        int("broken")
    except ValueError:
        structlog.get_logger("quartet.test").exception("failed", post=7)
    logging.getLogger().handlers[0].flush()
    return out.getvalue().splitlines()


def test_json_is_an_object_a_line() -> None:
    lines = [json.loads(line) for line in told("json")]
    assert [line["event"] for line in lines] == ["request", "careful", "failed"]
    assert (lines[0]["request_id"], lines[0]["status"], lines[2]["post"]) == ("abc", 200, 7)
    assert "ValueError: invalid literal" in lines[2]["exception"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_every_line_has_the_trace_id_during_a_request(form: str) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with spans.request({"HTTP_TRACEPARENT": f"00-{trace}-b7ad6b7169203331-00"}):
        lines = told(form)
    if form == "json":
        assert [json.loads(line)["trace_id"] for line in lines] == [trace] * 3
    assert [f"trace_id={trace}" in line or f'"{trace}"' in line for line in lines[:3]] == [True] * 3
    assert not any("trace_id" in line for line in told(form))


def test_console_lines_are_for_people() -> None:
    lines = told("console")
    assert re.match(r"\d\d:\d\d:\d\d \[info +\] request +\[quartet.http\] ", lines[0]), lines[0]
    assert "status=200" in lines[0]
    assert "careful" in lines[1]
    assert any("ValueError: invalid literal" in line for line in lines[2:])
    assert "\x1b" not in "".join(lines), "colours are for terminals"
