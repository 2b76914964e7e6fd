"""Answers the kept first page of notifications to its owner before Flask.

A page is valid while the stored top of the inbox and all fragments that it shows are unchanged. The counts of the
owner's account are among these fragments: every follow and block by or of the owner invalidates them.
"""

from uuid import UUID

from flask import Flask, request

from app.container import Container
from app.http.edge import caching, content_coding
from app.http.edge.blueprint import BASE
from app.http.edge.deps import container as current
from app.http.edge.paging import USUAL_LIMIT
from app.http.whole_pages.admission import Environ, admitted, failed, has_body
from app.http.whole_pages.home_hits import THEN
from app.http.whole_pages.replies import Around, Reply, first_fields, replied
from app.services.pages.whole_pages import LIMIT, Build, WholePage

PATH = f"{BASE}/notifications"
# Key in the WSGI environ: set when the fast path has looked for the page and found none.
MISSED = "quartet.inbox"


class InboxHits:
    """Called once per request for its path."""

    path = PATH

    def __init__(self, app: Flask, container: Container) -> None:
        self._app = app
        self._container = container
        self._pages = container.pages.whole

    def answer(self, environ: Environ) -> Reply | None:
        if environ["REQUEST_METHOD"] not in caching.READS or has_body(environ):
            return None
        query = environ.get("QUERY_STRING", "")
        limit = LIMIT.fullmatch(query)
        if query and not limit:
            return None
        asking = admitted(self._container, environ)
        if asking is None or asking.viewer is None:
            return None
        page = self._pages.look(_name(asking.viewer, int(limit[1]) if limit else USUAL_LIMIT))
        if page is None:
            environ[MISSED] = True
            return None
        used = content_coding.wanted(environ.get("HTTP_ACCEPT_ENCODING"), page.body)
        around = Around(first_fields(page, used), THEN)
        return replied(self._app, environ, asking, page, PATH, around, used)


def kept_inbox(owner: UUID, limit: int, build: Build) -> WholePage:
    """The first page of the owner's notifications: the kept one, or one made by `build` and then stored."""
    failed(request.environ)
    name, pages = _name(owner, limit), current().pages.whole
    kept = None if MISSED in request.environ else pages.look(name)
    return kept or pages.keep(name, build, shared=False)


def _name(owner: UUID, limit: int) -> str:
    return f"inbox:{owner}:{limit}"
