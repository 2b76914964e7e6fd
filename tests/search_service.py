"""The search service of `examples/search`, run in the tests' process, with an index that tests fill."""

import atexit
import functools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from uuid import uuid4
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from examples.search.index import Document, Index
from examples.search.service import Service

HOST = "127.0.0.1"
SECRET = "whsec_c2VhcmNoIGluIHRlc3Rz"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


@functools.cache
def _listening() -> socket.socket:
    made = socket.create_server((HOST, 0))
    atexit.register(made.close)
    return made


def url() -> str:
    """The URL of the service. It answers only after the first call of `index`."""
    return f"http://{HOST}:{_listening().getsockname()[1]}"


@functools.cache
def index() -> Index:
    made = Index(":memory:")
    server = make_server(HOST, 0, Service(made, "http://nobody.invalid", SECRET), _Server, _Handler)
    server.socket.close()
    server.socket = _listening()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return made


@contextmanager
def serving(app: Any) -> Iterator[WSGIServer]:
    """Serve a WSGI application on a free port; `set_app` of the server replaces the application."""
    with make_server(HOST, 0, app, _Server, _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def indexed(kind: str, card: dict[str, Any]) -> None:
    """Index a post or product, as its event would."""
    thing = card[kind]
    owner, text = ("author_id", "body") if kind == "post" else ("seller_id", "description")
    index().put(str(uuid4()), Document(thing["id"], kind, thing[owner], thing["title"], thing[text]))
