"""Answers with kept pages, byte for byte as the views and the request hooks would."""

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from flask import Flask
from werkzeug.exceptions import HTTPException

from app.container import Container
from app.http.edge import access, caching, coding, limiting, tracing
from app.http.edge.blueprint import BASE
from app.http.edge.conditions import is_known
from app.http.edge.metrics import answered, server_timing
from app.services.pages.whole_pages import WholePage, target

Environ = dict[str, Any]
Fields = tuple[tuple[str, str], ...]
VARY = ("Vary", ", ".join(caching.VARY))
NOSNIFF = ("X-Content-Type-Options", "nosniff")
TYPE = ("Content-Type", caching.JSON)
PATHS, HOTTEST = 4096, 128
# A served GET of a post counts as a view.
POST = f"{BASE}/posts/<uuid:post_id>"


class Page(NamedTuple):
    """What a path asks for: the kept page's name, the route it belongs to, the post that is viewed with it."""

    name: str
    rule: str
    control: tuple[str, str]
    post_id: UUID | None


class Reply(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Hits:
    """Called once per request. What it has looked up for a request it does not answer is passed on in the environ."""

    def __init__(self, app: Flask, container: Container) -> None:
        self._app = app
        self._pages = container.pages.whole
        self._throttle = container.people.throttle
        self._views = container.content.views
        self._settings = container.settings
        self._same: dict[tuple[str, str], tuple[WholePage, Fields, Fields]] = {}
        # Cached, because the same paths are requested most of the time.
        self._page = lru_cache(PATHS)(self._found)

    def answer(self, environ: Environ) -> Reply | None:
        if environ["REQUEST_METHOD"] not in caching.READS or "HTTP_AUTHORIZATION" in environ or _has_body(environ):
            return None
        page = self._page(environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", ""))
        if page is None:
            return None
        environ[tracing.BEGUN] = begun = tracing.RequestStart(environ.get("HTTP_X_REQUEST_ID", ""))
        limited = self._counted(environ)
        kept = None if limited is None else self._pages.look(page.name)
        return None if kept is None or limited is None else self._answer(environ, kept, page, begun, limited)

    def _answer(
        self,
        environ: Mapping[str, Any],
        kept: WholePage,
        page: Page,
        begun: tracing.RequestStart,
        limited: list[tuple[str, str]],
    ) -> Reply:
        """The order of the fields is that in which `answers.checked` and `tracing` set them."""
        method: str = environ["REQUEST_METHOD"]
        used = coding.wanted(environ.get("HTTP_ACCEPT_ENCODING"), kept.body)
        sent = environ.get("HTTP_IF_NONE_MATCH")
        known = sent is not None and (sent == coding.marked(kept.etag, used) or is_known(kept.etag, sent))
        status, line = (304, "304 NOT MODIFIED") if known else (200, "200 OK")
        elapsed = time.perf_counter() - begun.at
        first, then = self._fields(page, kept, used)
        timing = ("Server-Timing", server_timing(begun.tally, elapsed))
        if sent is not None and known:
            first = (("ETag", coding.marked(kept.etag, used, sent)),)
        headers = [*first, (tracing.HEADER, begun.id), *then, *limited, timing]
        if page.post_id and method == "GET":
            self._views.seen(page.post_id)
        answered(self._app, page.rule, method, status, elapsed)
        access.log_request(begun.id, method, page.rule, status, elapsed)
        return Reply(line, headers, b"" if known or method == "HEAD" else kept.form(used))

    def _fields(self, page: Page, kept: WholePage, used: str) -> tuple[Fields, Fields]:
        """What comes before the request's id, and right after it: the same while the page is the same object."""
        same = self._same.get((page.name, used))
        if same is not None and same[0] is kept:
            return same[1:]
        coded: Fields = ((coding.FIELD, used),) if used else ()
        first: Fields = (
            TYPE,
            ("Content-Length", str(len(kept.form(used)))),
            *coded,
            ("ETag", coding.marked(kept.etag, used)),
        )
        age = ("Age", str(int(kept.age_seconds)))
        then: Fields = (NOSNIFF, page.control, VARY, age, ("Cache-Status", caching.status_of(kept)))
        if len(self._same) >= HOTTEST:
            self._same.clear()
        self._same[page.name, used] = kept, first, then
        return first, then

    def _counted(self, environ: Environ) -> list[tuple[str, str]] | None:
        """The fields that say how much is left; None when it was too much, which the application answers."""
        asking = self._throttle.asking
        if asking is None:
            return []
        found = self._throttle.request(f"address:{limiting.address(environ, self._settings.proxies)}")
        environ[limiting.COUNTED] = found
        return limiting.fields(found, asking) if found is None or found.allowed else None

    def _found(self, path: str, query: str) -> Page | None:
        """None where it is not kept whole, or not for shared caches."""
        name = target(path, query)
        if name is None:
            return None
        try:
            rule, values = self._app.url_map.bind("").match(path, method="GET", return_rule=True)
        except HTTPException:
            return None
        policy = caching.of_view(self._app.view_functions[rule.endpoint])
        if policy is None:
            return None
        control = policy.control(self._settings.shared_seconds)
        return Page(name, rule.rule, ("Cache-Control", control), values["post_id"] if rule.rule == POST else None)


def _has_body(environ: Mapping[str, Any]) -> bool:
    return environ.get("CONTENT_LENGTH", "") not in {"", "0"} or "HTTP_TRANSFER_ENCODING" in environ
