"""Answers kept pages before Flask: public pages, and the caller's own home feed and inbox.

Pattern: decorator around the WSGI application. `public_hits.py`, `home_hits.py` and `inbox_hits.py` answer byte for
byte as the views would; tests compare the two on every such route. Any other request is passed on to Flask. What was
found out about it is passed on in the WSGI environ, so that nothing is counted or read twice.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

from flask import Flask, Response, request

from app.container import Container
from app.http.edge import tracing
from app.http.edge.deps import CONTAINER
from app.http.whole_pages.admission import Environ
from app.http.whole_pages.home_hits import HomeHits
from app.http.whole_pages.inbox_hits import InboxHits
from app.http.whole_pages.public_hits import PublicHits
from app.http.whole_pages.replies import Reply
from repositories.deadline import within

Wsgi = Callable[[Environ, Any], Iterable[bytes]]


def register(app: Flask) -> None:
    """Register before every other request hook."""
    container = cast("Container", app.extensions[CONTAINER])
    hits = PublicHits(app, container)
    if container.settings.fast_path:
        seconds = container.settings.request_timeout
        own = HomeHits(app, container), InboxHits(app, container)
        app.wsgi_app = FastPath(app, hits, own, seconds)  # type: ignore[method-assign]  # Flask's documented way
    else:
        app.before_request(Within(hits))


class FastPath:
    """WSGI middleware around the application."""

    def __init__(self, app: Flask, hits: PublicHits, own: tuple[HomeHits, InboxHits], seconds: float) -> None:
        self._inner: Wsgi = app.wsgi_app
        self._seconds = seconds
        self._hits = hits
        self._own = {one.path: one for one in own}

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        # Calls to the stores made here and those made by the application share one deadline.
        with within(self._seconds):
            found = self._hits.answer(environ)
            if found is None and "HTTP_AUTHORIZATION" in environ:
                own = self._own.get(environ.get("PATH_INFO", ""))
                found = own.answer(environ) if own else None
            if found is None:
                return self._inner(environ, start_response)
        start_response(found.status, found.headers)
        return [found.body]


class Within:
    """Request hook that answers kept public pages inside Flask, if the fast path is switched off."""

    def __init__(self, hits: PublicHits) -> None:
        self._hits = hits

    def __call__(self) -> Response | None:
        found = self._hits.answer(request.environ)
        if found is None:
            return None
        tracing.finished()
        return _Ready(found)


class _Ready(Response):
    """Sends the reply unchanged.

    werkzeug would process the header fields twice more, and set `Content-Length` to 0 in the answer to a HEAD.
    """

    def __init__(self, answer: Reply) -> None:
        super().__init__(status=answer.status)
        self._answer = answer

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(self._answer.status, self._answer.headers)
        return [self._answer.body]
