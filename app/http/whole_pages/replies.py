"""Builds answers without Flask, byte for byte as the views and request hooks would."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from flask import Flask

from app.http.edge import access_log, caching, content_coding, tracing
from app.http.edge.conditions import is_known
from app.http.edge.metrics import answered
from app.http.edge.server_timing import server_timing
from app.http.whole_pages.admission import Admitted
from app.services.pages.whole_pages import WholePage

Fields = tuple[tuple[str, str], ...]
VARY = ("Vary", ", ".join(caching.VARY))
NOSNIFF = ("X-Content-Type-Options", "nosniff")
TYPE = ("Content-Type", caching.JSON)


class Reply(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Around(NamedTuple):
    """Header fields of a page: those before the request id, and those right after it."""

    first: Fields
    then: Fields


def replied(
    app: Flask,
    environ: Mapping[str, Any],
    asking: Admitted,
    page: WholePage,
    rule: str,
    around: Around,
    used: str,
) -> Reply:
    """Answer with the page, or 304; count and log the answer. `used` is the content coding, "" for none.

    The fields are in the order in which `answers.checked` and `tracing` set them.
    """
    begun = asking.begun
    method: str = environ["REQUEST_METHOD"]
    sent = environ.get("HTTP_IF_NONE_MATCH")
    known = sent is not None and (sent == content_coding.marked(page.etag, used) or is_known(page.etag, sent))
    status, line = (304, "304 NOT MODIFIED") if known else (200, "200 OK")
    elapsed = time.perf_counter() - begun.at
    first = (("ETag", content_coding.marked(page.etag, used, sent)),) if sent is not None and known else around.first
    timing = ("Server-Timing", server_timing(begun.tally, elapsed))
    headers = [*first, (tracing.HEADER, begun.id), *around.then, *asking.limited, timing]
    answered(app, rule, method, status, elapsed)
    access_log.log_request(begun.id, method, rule, status, elapsed)
    return Reply(line, headers, b"" if known or method == "HEAD" else page.form(used))


def first_fields(page: WholePage, used: str) -> Fields:
    coded: Fields = ((content_coding.FIELD, used),) if used else ()
    return (
        TYPE,
        ("Content-Length", str(len(page.form(used)))),
        *coded,
        ("ETag", content_coding.marked(page.etag, used)),
    )
