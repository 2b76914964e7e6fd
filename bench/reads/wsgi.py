"""The application of the measured server: several ways to serve the same bytes, selected by the first path segment.

`/fast` is `app.wsgi` unchanged. `/flask` is the same with the fast path switched off, `/uncached` with an unreachable
cache. `/hello` is a Flask application with two routes and nothing else, `/bare` a plain WSGI function.
"""

import atexit
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Flask, Response

from app.container import build
from app.http import create_app
from app.server.gate import Gate, Wsgi
from app.wsgi import app as everything
from app.wsgi import container, settings

JSON = "application/json"
BODIES = {path.stem: path.read_bytes() for path in Path(os.environ["BENCH_BODIES"]).iterdir()}
NOBODY = "redis://127.0.0.1:1/0"


def bare(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = BODIES[environ["PATH_INFO"][1:]]
    start_response("200 OK", [("Content-Type", JSON), ("Content-Length", str(len(body)))])
    return [body]


def hello() -> Flask:
    made = Flask("hello", static_folder=None)
    for name, body in BODIES.items():
        made.add_url_rule(f"/{name}", name, lambda body=body: Response(body, content_type=JSON))
    return made


sourced = build(replace(settings, cache_url=NOBODY))
atexit.register(sourced.close)
slow = replace(container, settings=replace(settings, fast_path=False))
APPLICATIONS: dict[str, Wsgi] = {
    "bare": bare,
    "hello": hello().wsgi_app,
    "flask": create_app(slow).wsgi_app,
    "uncached": create_app(sourced).wsgi_app,
}
WAYS: dict[str, Wsgi] = {way: Gate(inner, settings.threads) for way, inner in APPLICATIONS.items()}
WAYS["fast"] = everything.wsgi_app


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Dispatch to a way. The dispatch costs the same for each."""
    path: str = environ["PATH_INFO"]
    way, _, rest = path[1:].partition("/")
    environ["PATH_INFO"] = f"/{rest}"
    return WAYS[way](environ, start_response)
