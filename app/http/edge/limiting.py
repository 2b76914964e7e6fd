"""Rate limits of requests: 429 with `Retry-After`, and `RateLimit` fields on every answer that is limited.

The fields follow draft-ietf-httpapi-ratelimit-headers-10. Each request is counted once, by the fast path or here.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

from flask import Flask, g, request

from app.container import Container
from app.errors import TooMany
from app.http.edge import forwarded
from app.http.edge.blueprint import BASE
from app.http.edge.deps import container, session_or_none
from repositories.hot import Rate, Verdict

# Key in the WSGI environ: the verdict, set by the fast path when it has counted the request.
COUNTED = "quartet.counted"
POLICY = "default"


def register(app: Flask) -> None:
    """Register after `auth`, which resolves the account."""
    app.before_request(check)


def check() -> None:
    """Count the request against its account, or its address if nobody is signed in. Raises `TooMany`."""
    throttle = container().people.throttle
    if throttle.asking is None or not request.path.startswith(BASE):
        return
    found: Verdict | None = request.environ.get(COUNTED)
    if found is None:
        session = session_or_none()
        found = throttle.request(f"account:{session.account_id}" if session else f"address:{caller_address()}")
    g.verdict = found
    if found is not None and not found.allowed:
        raise TooMany("too many requests", found.retry)


def address(environ: Mapping[str, Any], proxies: int, header: str) -> str:
    """The client's address, normalized by `client`: as seen by the outermost of our own `proxies`, else by the server.

    `header` is the one to which the proxies append. Entries written by the client itself are never used.
    """
    peer = str(environ.get("REMOTE_ADDR") or "")
    said = forwarded.last(environ, header, proxies) if proxies else None
    return (client(said) if said else None) or client(peer) or peer


@lru_cache(4096)
def client(written: str) -> str | None:
    """Normalize an address: without port, brackets and zone, IPv4-mapped IPv6 as IPv4; None if it is no address.

    IPv6 is reduced to its /64 network, the smallest that a customer is given.
    """
    bare = written.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)


def caller_address() -> str:
    return of_caller(request.environ, container())


def of_caller(environ: Mapping[str, Any], container: Container) -> str:
    return address(environ, container.settings.proxies, container.settings.proxy_header)


def fields(found: Verdict | None, rate: Rate | None) -> list[tuple[str, str]]:
    """The `RateLimit` fields of an answer; none if it is not limited."""
    if found is None or rate is None:
        return []
    window = math.ceil(rate.burst / rate.per_second)
    return [
        ("RateLimit-Policy", f'"{POLICY}";q={rate.burst};w={window}'),
        ("RateLimit", f'"{POLICY}";r={found.remaining};t={math.ceil(found.reset)}'),
    ]
