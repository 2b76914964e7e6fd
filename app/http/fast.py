"""Anonymous reads that are kept whole, answered before Flask.

Pattern: decorator around the WSGI application. It answers only what it is sure of, and byte for byte what the
application would; `tests/http/test_fast_path.py` compares the two on every such route. All else is handed on, with
what is known of the request already, so that nothing is counted or asked for twice.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from flask import Flask
from werkzeug.exceptions import HTTPException

from app.container import Container
from app.http import caching, limiting, tracing
from app.http.blueprint import BASE
from app.http.metrics import answered, server_timing
from app.services.hot_pages import LOOKED, HotPages, Kept, target

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]
VARY = ("Vary", "Authorization")
NOSNIFF = ("X-Content-Type-Options", "nosniff")
TYPE = ("Content-Type", caching.JSON)
# Each GET of a post that is served is a view of it.
POST = f"{BASE}/posts/<uuid:post_id>"


class Route(NamedTuple):
    rule: str
    control: tuple[str, str]
    viewed: bool


class FastPath:
    """`inner` is the application as it is without this."""

    def __init__(self, app: Flask, container: Container, pages: HotPages) -> None:
        self._app = app
        self._inner: Wsgi = app.wsgi_app
        self._pages = pages
        self._throttle = container.throttle
        self._views = container.views
        self._settings = container.settings
        self._routes: dict[tuple[str, int], Route | None] = {}

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in caching.READS or "HTTP_AUTHORIZATION" in environ or _has_body(environ):
            return self._inner(environ, start_response)
        path: str = environ.get("PATH_INFO", "")
        name = target(path, environ.get("QUERY_STRING", ""))
        route = self._route(path) if name is not None else None
        if name is None or route is None:
            return self._inner(environ, start_response)
        environ[tracing.BEGUN] = begun = tracing.begin(environ.get("HTTP_X_REQUEST_ID", ""))
        limited = self._counted(environ)
        kept = None if limited is None else self._pages.look(name)
        environ[LOOKED] = True
        if kept is None or limited is None:
            return self._inner(environ, start_response)
        return self._answer(environ, start_response, kept, route, begun, limited)

    def _answer(
        self,
        environ: Mapping[str, Any],
        start_response: Any,
        kept: Kept,
        route: Route,
        begun: tracing.Begun,
        limited: list[tuple[str, str]],
    ) -> list[bytes]:
        """The order of the fields is that in which `kept_page` and `tracing` set them."""
        method: str = environ["REQUEST_METHOD"]
        known = caching.is_known(kept.etag, environ.get("HTTP_IF_NONE_MATCH"))
        status, line = (304, "304 NOT MODIFIED") if known else (200, "200 OK")
        elapsed = time.perf_counter() - begun.at
        headers = [] if known else [TYPE, ("Content-Length", str(len(kept.body)))]
        headers += (
            ("ETag", kept.etag),
            (tracing.HEADER, begun.id),
            NOSNIFF,
            route.control,
            VARY,
            ("Age", str(int(kept.age_seconds))),
            ("Cache-Status", caching.status_of(kept)),
            *limited,
            ("Server-Timing", server_timing(begun.tally, elapsed)),
        )
        if route.viewed and method == "GET":
            self._views.seen(UUID(environ["PATH_INFO"].rpartition("/")[2]))
        answered(self._app, route.rule, method, status, elapsed)
        tracing.tell(method, route.rule, status, elapsed)
        start_response(line, headers)
        return [b""] if known or method == "HEAD" else [kept.body]

    def _counted(self, environ: Environ) -> list[tuple[str, str]] | None:
        """The fields that say how much is left; None when it was too much, which the application answers."""
        asking = self._throttle.asking
        if asking is None:
            return []
        found = self._throttle.request(f"address:{limiting.address(environ, self._settings.proxies)}")
        environ[limiting.COUNTED] = found
        return limiting.fields(found, asking) if found is None or found.allowed else None

    def _route(self, path: str) -> Route | None:
        """None where it is not for shared caches. Paths of one shape have one rule, looked up once."""
        parts = path.split("/")
        shape = parts[3], len(parts)
        if shape not in self._routes:
            self._routes[shape] = self._looked_up(path)
        return self._routes[shape]

    def _looked_up(self, path: str) -> Route | None:
        try:
            rule, _ = self._app.url_map.bind("").match(path, method="GET", return_rule=True)
        except HTTPException:
            return None
        policy = caching.of_view(self._app.view_functions[rule.endpoint])
        if policy is None:
            return None
        control = policy.control(self._settings.shared_seconds)
        return Route(rule.rule, ("Cache-Control", control), viewed=rule.rule == POST)


def _has_body(environ: Mapping[str, Any]) -> bool:
    return environ.get("CONTENT_LENGTH", "") not in {"", "0"} or "HTTP_TRANSFER_ENCODING" in environ
