"""Answers pages of the home feed before Flask: the kept page, or one built here by the function that the view uses.

The checks and reads are those of the view, in the same order: session, rate limit, the truth that the page depends on,
kept page. If the request cannot be answered here, results and exceptions are passed on to Flask in the WSGI environ.
"""

import re
from functools import lru_cache
from typing import NamedTuple, cast
from uuid import UUID

from flask import Flask, request

from app.container import Container
from app.http.edge import caching, content_coding
from app.http.edge.blueprint import BASE
from app.http.edge.deps import CURSORS
from app.http.edge.feed_cursor import begun_at, position_of, scope_of, start_of, window_of
from app.http.edge.paging import USUAL_LIMIT, Cursors, Position
from app.http.whole_pages.admission import Environ, admitted, attempted, failed, has_body
from app.http.whole_pages.public_hits import kept_list
from app.http.whole_pages.replies import NOSNIFF, VARY, Around, Reply, first_fields, replied
from app.services.feeds.page_context import PageContext
from app.services.feeds.page_windows import Window
from app.services.pages.home_pages import HomeFound
from app.services.pages.kinds import Used
from app.services.pages.whole_pages import LIMIT, WholePage

PATH = f"{BASE}/feed"
THEN = (NOSNIFF, ("Cache-Control", caching.PRIVATE), VARY)
# A parameter with a cursor. Queries with anything else than this and `limit` are parsed, or refused, by Flask's view.
CURSOR = re.compile("(after|cursor)=([A-Za-z0-9._-]{1,900})")
# Clients poll with the same query. Parsed queries that are cached, and the longest query in characters that is.
REMEMBERED, SHORT = 4096, 300
# Key in the WSGI environ: what was found for the page.
FOUND = "quartet.home"


class HomeAsked(NamedTuple):
    """A request for a page below `cursor` or above `after`, or from the top if both are None."""

    limit: int
    cursor: str | None
    after: str | None


def handed_on(window: Window) -> HomeFound | None:
    """What the fast path found for this request's page; None if nothing, or for another window.

    Raises the exception that was raised there.
    """
    failed(request.environ)
    found: HomeFound | None = request.environ.get(FOUND)
    return found if found is not None and found.window == window else None


def made(container: Container, cursors: Cursors, reader: UUID, found: HomeFound, codings: str | None) -> WholePage:
    """Build the page because no kept one was usable. `codings` is the request's `Accept-Encoding`."""

    def build(look: PageContext, used: Used) -> WholePage:
        page = container.pages.cards.home(reader, found.window, look, used)
        start = begun_at(found.window)
        upward = position_of(container.feeds.timelines.cursor(start, page))
        onward: Position | None = [str(page.onward)] if page.onward else None
        if start and onward:
            onward = upward
        scope = scope_of(reader)
        prev, onward_cursor = cursors.issue(scope, upward), cursors.issue(scope, onward)
        whole = kept_list([card.body for card in page.items], onward_cursor, prev=prev)
        whole.form(content_coding.wanted(codings, whole.body))
        return whole

    return container.pages.home.make(reader, found, build)


class HomeHits:
    """Called once per request for its path."""

    path = PATH

    def __init__(self, app: Flask, container: Container) -> None:
        self._app = app
        self._container = container
        self._pages = container.pages.home
        self._cursors = cast("Cursors", app.extensions[CURSORS])
        self._cached_window = lru_cache(REMEMBERED)(self._window)

    def answer(self, environ: Environ) -> Reply | None:
        if environ["REQUEST_METHOD"] not in caching.READS or has_body(environ):
            return None
        asking = admitted(self._container, environ)
        if asking is None or asking.viewer is None:
            return None
        reader = asking.viewer
        query = environ.get("QUERY_STRING", "")
        found = attempted(environ, lambda: self._find(reader, query))
        if found is None:
            return None
        environ[FOUND] = found
        codings = environ.get("HTTP_ACCEPT_ENCODING")
        page = found.page or attempted(environ, lambda: made(self._container, self._cursors, reader, found, codings))
        if page is None:
            return None
        used = content_coding.wanted(codings, page.body)
        around = Around(first_fields(page, used), THEN)
        return replied(self._app, environ, asking, page, PATH, around, used)

    def _find(self, reader: UUID, query: str) -> HomeFound | None:
        window = (self._cached_window if len(query) <= SHORT else self._window)(reader, query)
        return None if window is None else self._pages.find(reader, window)

    def _window(self, reader: UUID, query: str) -> Window | None:
        """The window of a query; None if the view has to parse it. Raises `BadRequest` for an invalid cursor."""
        asked = _asked(query)
        if asked is None:
            return None
        before = self._cursors.id(scope_of(reader), asked.cursor) if asked.cursor else None
        return window_of(asked.limit, before, start_of(self._cursors, reader, asked.after))


def _asked(query: str) -> HomeAsked | None:
    """Parse a query of at most one `limit` and one cursor; None for any other, which the view has to parse."""
    limit, starts = None, dict[str, str]()
    for part in query.split("&") if query else ():
        if limit is None and (found := LIMIT.fullmatch(part)):
            limit = int(found[1])
        elif not starts and (found := CURSOR.fullmatch(part)):
            starts[found[1]] = found[2]
        else:
            return None
    return HomeAsked(limit or USUAL_LIMIT, starts.get("cursor"), starts.get("after"))
