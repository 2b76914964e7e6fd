"""Every page that may be kept whole, and helpers to request it with and without the fast path."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app.http import create_app
from app.http.edge import caching
from app.http.edge.tracing import Traced
from app.http.whole_pages.fast_path import FastPath
from app.services.pages.whole_pages import target
from tests.apps import BASE, System

VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
# Header fields in which two answers to the same request may differ.
FREE = {"X-Request-Id", "Server-Timing", "Age"}
TTL = re.compile(r"ttl=-?\d+")
ETAG, CODED = "{etag}", "{coded}"
CONDITIONS = [
    "{etag}",
    "W/{etag}",
    '"other", {etag}',
    '"other",W/{etag} , "third"',
    "*",
    '"other"',
    "",
    ",",
    "garbage",
    "{etag}x",
    "w/{etag}",
    '"other", *',
]
HEADERS: list[dict[str, str]] = [
    {},
    {"X_Request_Id": "abcdefgh-1"},
    {"X_Request_Id": "short"},
    {"X_Request_Id": "with a space in it"},
    {"Accept": "text/html"},
    {"Accept_Encoding": "gzip, br"},
    {"Accept_Encoding": "gzip, zstd"},
    {"Accept_Encoding": "gzip;q=0, *"},
    *[{"Accept_Encoding": "gzip", "If_None_Match": one} for one in (ETAG, CODED, f'W/{CODED}, "a"', '"a"', "*")],
    {"Cache_Control": "no-cache"},
    {"If_Modified_Since": "Sun, 06 Nov 1994 08:49:37 GMT"},
    {"If_Match": '"other"'},
    {"Range": "bytes=0-1"},
    {"Origin": "https://example.com"},
    {"Host": "no such host!"},
    {"Cookie": "a=b"},
    {"Content_Length": "0"},
    *[{"If_None_Match": one} for one in CONDITIONS],
]


@dataclass(frozen=True)
class Answer:
    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    def same(self) -> "Answer":
        """The answer with blank values where two answers may differ; the order of the fields stays."""
        kept = [(n, "" if n in FREE else TTL.sub("ttl=", value)) for n, value in self.headers]
        return replace(self, headers=kept)


class PassedToFlask(AssertionError):
    """The fast path has passed the request on to Flask."""


class BothPaths:
    """One system with and without the fast path."""

    def __init__(self, system: System) -> None:
        container = system.container
        self.system = system
        self.fast_app = system.app
        slow = replace(container, settings=replace(container.settings, fast_path=False))
        self.slow_app = create_app(slow)
        assert isinstance(inside(self.fast_app), FastPath)
        assert not isinstance(inside(self.slow_app), FastPath)
        author = system.person()
        product = author.post("/products", {"title": "t", "category": "c", "price": {"amount": 1, "currency": "EUR"}})
        posts = [author.publish(f"Post {n}", tags=["lamps", f"tag{n}"]) for n in range(3)]
        self.author = author
        self.reader = system.person()
        self.values = {"handle": author.handle, "post_id": posts[0], "product_id": product["product"]["id"]}
        self.values |= {"number": "1"}  # of a comment, whose page cannot be kept
        system.relay.drain()

    def paths(self) -> list[str]:
        """The paths of every route for shared caches whose page can be kept."""
        rules = [rule for rule in self.fast_app.url_map.iter_rules() if "GET" in (rule.methods or ())]
        shared = [r.rule for r in rules if caching.of_view(self.fast_app.view_functions[r.endpoint])]
        paths = [VARIABLE.sub(lambda m: self.values[m[1]], rule) for rule in shared]
        return [path for path in paths if target(path, "")]

    def fast(self, path: str, method: str = "GET", query: str = "", **headers: str) -> Answer:
        return asked(self.fast_app.wsgi_app, path, method, query, headers)

    def slow(self, path: str, method: str = "GET", query: str = "", **headers: str) -> Answer:
        return asked(self.slow_app.wsgi_app, path, method, query, headers)

    def warm(self, paths: Iterable[str]) -> None:
        """Request these pages until they are kept."""
        for path in paths:
            for _ in range(3):
                self.slow(path)


def inside(app: Flask) -> Any:
    """The WSGI layer inside the one that traces requests."""
    assert isinstance(app.wsgi_app, Traced)
    return app.wsgi_app._inner


@contextmanager
def without_application(both: BothPaths) -> Iterator[None]:
    """Within the block only the fast path answers; what it passes on raises `PassedToFlask`."""

    def refuse(*_: object) -> Any:
        raise PassedToFlask

    fast = inside(both.fast_app)
    assert isinstance(fast, FastPath)
    with patch.object(fast, "_inner", refuse):
        yield


def asked(app: Any, path: str, method: str, query: str, headers: dict[str, str]) -> Answer:
    """Send a request exactly as given, without the headers that the test client adds."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    builder = EnvironBuilder(path if path.startswith("/") else f"{BASE}/{path}", method=method, headers=Headers(sent))
    environ = builder.get_environ()
    environ["QUERY_STRING"] = query
    environ.update({f"HTTP_{n.upper().replace('-', '_')}": v for n, v in sent.items() if n.lower() == "host"})
    written, status, got = run_wsgi_app(app, environ)
    return Answer(status, list(got), b"".join(written))


def assert_alike(fast: Answer, slow: Answer) -> None:
    """Compare without the fields of the cache, since either may be a hit or a miss, and without ids of requests."""
    free = {"Age", "Cache-Status", "X-Request-Id", "Server-Timing"}
    assert fast.status == slow.status
    assert [h for h in fast.headers if h[0] not in free] == [h for h in slow.headers if h[0] not in free]
    problem = "problem" in (fast.header("Content-Type") or "")
    assert _without_request_id(fast.body) == _without_request_id(slow.body) if problem else fast.body == slow.body


def _without_request_id(body: bytes) -> Any:
    return {name: one for name, one in json.loads(body).items() if name != "request_id"} if body else body
