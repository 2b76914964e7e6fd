"""The application of the measured server: unchanged, or with one component replaced by the usual one.

The first path segment selects which.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from app.container import build
from app.http import create_app
from app.server.gate import Gate, Wsgi
from app.wsgi import app as everything
from app.wsgi import settings
from bench.weigh import ways

ACCESS = ways.Access()
ACCESS.install()


def made(
    *, fast: bool = True, leases: bool = True, redis: Callable[[Any, str], None] | None = None, gate: bool = True
) -> Wsgi:
    container = build(replace(settings, fast_path=fast))
    stores: Any = container.stores
    cache = stores.cache._inner  # noqa: SLF001  the cache behind the breaker
    if not leases:
        cache._near = ways.WithoutLeases()  # noqa: SLF001
    if redis is not None:
        redis(cache, settings.cache_url)
        redis(stores.sessions, settings.sessions_url)
    inner: Wsgi = create_app(container).wsgi_app
    return Gate(inner, settings.threads) if gate else inner


NOW: Wsgi = everything.wsgi_app
WAYS: dict[str, tuple[Wsgi, str]] = {
    "now": (NOW, ""),
    "flask": (made(fast=False), ""),
    "asked": (made(leases=False), ""),
    "connection": (made(leases=False, redis=ways.by_connection), ""),
    "client": (made(leases=False, redis=ways.by_client), ""),
    "stdlib": (NOW, "stdlib"),
    "bytes": (NOW, "bytes"),
    "ungated": (made(gate=False), ""),
}


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    path: str = environ["PATH_INFO"]
    way, _, rest = path[1:].partition("/")
    environ["PATH_INFO"] = f"/{rest}"
    found, line = WAYS[way]
    ACCESS.choose(line)
    return found(environ, start_response)
