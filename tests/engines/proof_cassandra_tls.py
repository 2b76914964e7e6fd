"""Cassandra over TLS with a password, on a real server that accepts nothing else. `make proofs` runs it."""

import contextlib
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from app.clock import utc_now
from app.ids import Ids
from repositories.errors import Unavailable
from repositories.feeds import open_store
from repositories.feeds.port import FeedStore
from repositories.records.content import PostRef
from tests.engines import Server
from tests.engines.cassandra import launch_secured
from tests.engines.home import Home

TRUSTED, USER = "ssl_ca_certs={ca}", "cassandra:cassandra@"
# The same address under a name that is not in the certificate.
UNNAMED = "[::ffff:127.0.0.1]"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    home = Home()
    running = launch_secured(home)
    yield running
    running.discard()
    home.close()


def opened(server: Server, options: str, user: str = USER, host: str = "127.0.0.1") -> FeedStore:
    port = urlsplit(server.url).port
    url = f"cassandra://{user}{host}:{port}/quartet?{options.format(ca=server.folder / 'ca.pem')}"
    return open_store(url, timeout=timedelta(seconds=5), pool=1, retention=timedelta(days=400))


@pytest.mark.parametrize(
    ("host", "more"), [("127.0.0.1", ""), ("localhost", ""), (UNNAMED, "&ssl_check_hostname=false")]
)
def test_feeds_are_kept_over_tls(server: Server, host: str, more: str) -> None:
    store = opened(server, TRUSTED + more, host=host)
    try:
        store.migrate()
        reader, post = uuid4(), PostRef(Ids(utc_now)(), uuid4())
        store.push(post, [reader], utc_now())
        assert store.home_page(reader, limit=5) == [post]
    finally:
        store.close()


@pytest.mark.parametrize(
    ("options", "user", "host", "why"),
    [
        ("", USER, "127.0.0.1", "Connection"),
        ("ssl=true", USER, "127.0.0.1", "self-signed certificate"),
        ("ssl_ca_certs={other}", USER, "127.0.0.1", "self-signed certificate"),
        (TRUSTED, USER, UNNAMED, "IP address mismatch"),
        (TRUSTED, "cassandra:wrong@", "127.0.0.1", "Bad credentials"),
        (TRUSTED, "", "127.0.0.1", "requires authentication"),
    ],
    ids=["in the clear", "unknown authority", "another authority", "another name", "wrong password", "nobody"],
)
def test_a_wrong_certificate_host_or_password_is_unavailable(
    server: Server, options: str, user: str, host: str, why: str
) -> None:
    other = Path(__file__).parents[1] / "unit" / "localhost.pem"
    store = opened(server, options.replace("{other}", str(other)), user, host)
    try:
        with pytest.raises(Unavailable, match=why) as refused:
            store.ping()
        assert "cassandra:cassandra" not in str(refused.value)
    finally:
        store.close()


def test_the_server_closes_connections_without_tls(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=5) as plain:
        plain.sendall(bytes([5, 0, 0, 0, 5, 0, 0, 0, 0]))
        with contextlib.suppress(ConnectionResetError):
            assert plain.recv(1) in {b"", b"\x15"}, "closed, or a TLS alert"
