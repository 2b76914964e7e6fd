"""Hits of the home feed: pages that are kept for whoever is signed in, answered before Flask.

All that a view would ask is asked here, in the same order: the session, the limit, the truth that the page depends on,
the kept page. What is not answered is handed on in the environ with all that was found, errors too.
"""

import re
from typing import cast
from uuid import UUID

from flask import Flask, request

from app.container import Container
from app.http.edge import caching, content_coding, tracing
from app.http.edge.auth import early_session
from app.http.edge.blueprint import BASE
from app.http.edge.deps import CURSORS
from app.http.edge.feed_cursor import start_of, window_of
from app.http.edge.paging import USUAL_LIMIT, Cursors
from app.http.whole_pages.replies import (
    FAILED,
    NOSNIFF,
    VARY,
    Around,
    Environ,
    Reply,
    counted,
    failed,
    first_fields,
    has_body,
    replied,
)
from app.services.feeds.timeline_segments import Window
from app.services.pages.home_pages import HomeFound
from app.services.pages.whole_pages import WholePage

PATH = f"{BASE}/feed"
THEN = (NOSNIFF, ("Cache-Control", caching.PRIVATE), VARY)
# Queries that are read here. The application reads all others, and says what is wrong with them.
LIMIT, CURSOR = re.compile("[1-9][0-9]?|100"), re.compile("[A-Za-z0-9._-]{1,900}")
# Key in the WSGI environ: what was found for the page.
FOUND = "quartet.home"


def handed_on(window: Window) -> HomeFound | None:
    """What was found for this request's page before Flask. Raises what was met there."""
    failed(request.environ)
    found: HomeFound | None = request.environ.get(FOUND)
    return found if found is not None and found.window == window else None


class HomeHits:
    """Called once per request."""

    def __init__(self, app: Flask, container: Container) -> None:
        self._app = app
        self._container = container
        self._pages = container.pages.home
        self._cursors = cast("Cursors", app.extensions[CURSORS])

    def answer(self, environ: Environ) -> Reply | None:
        if environ.get("PATH_INFO") != PATH or environ["REQUEST_METHOD"] not in caching.READS:
            return None
        asked = None if has_body(environ) else _asked(environ.get("QUERY_STRING", ""))
        if asked is None:
            return None
        environ[tracing.BEGUN] = begun = tracing.RequestStart(environ.get("HTTP_X_REQUEST_ID", ""))
        tracing.name(begun.id)
        session = early_session(self._container, environ)
        if session is None:
            return None
        limited = counted(self._container.people.throttle, environ, f"account:{session.account_id}")
        page = None if limited is None else self._page(environ, session.account_id, *asked)
        if page is None or limited is None:
            return None
        used = content_coding.wanted(environ.get("HTTP_ACCEPT_ENCODING"), page.body)
        around = Around(first_fields(page, used), THEN)
        return replied(self._app, environ, page, PATH, begun, around, limited, used)

    def _page(self, environ: Environ, reader: UUID, limit: int, after: str | None) -> WholePage | None:
        try:
            start = start_of(self._cursors, reader, after)
            found = self._pages.find(reader, window_of(limit, None, start))
        except Exception as error:  # noqa: BLE001  the view raises it again, where it is answered
            environ[FAILED] = error
            return None
        environ[FOUND] = found
        return found.page


def _asked(query: str) -> tuple[int, str | None] | None:
    """Limit and cursor of a page from the top, or upward; None where it takes more than a look to tell."""
    limit, after = str(USUAL_LIMIT), None
    names = set()
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if name == "limit" and LIMIT.fullmatch(value):
            limit = value
        elif name == "after" and CURSOR.fullmatch(value):
            after = value
        else:
            return None
        if name in names:
            return None
        names.add(name)
    return int(limit), after
