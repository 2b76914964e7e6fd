"""Cassandra over TLS and with a password, on a real server that takes nothing else. `make proofs` runs it."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from repositories.errors import Unavailable
from repositories.feeds import open_store
from repositories.feeds.id_time import below
from repositories.feeds.port import FeedStore
from repositories.records import PostRef
from tests.engines import Server
from tests.engines.cassandra import launch_secured
from tests.engines.home import Home

AT = datetime(2026, 1, 1, tzinfo=UTC)
TRUSTED = "ssl_ca_certs={ca}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    home = Home()
    running = launch_secured(home)
    yield running
    running.discard()
    home.close()


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that has signed nothing of the server's."""
    return Path(__file__).parents[1] / "unit" / "localhost.pem"


def opened(server: Server, options: str, user: str = "cassandra:cassandra@", host: str = "127.0.0.1") -> FeedStore:
    port = urlsplit(server.url).port
    url = f"cassandra://{user}{host}:{port}/quartet?{options.format(ca=server.folder / 'ca.pem')}"
    return open_store(url, timeout=timedelta(seconds=5), retention=timedelta(days=400))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_feeds_are_kept_over_tls(server: Server, host: str) -> None:
    store = opened(server, TRUSTED, host=host)
    try:
        store.migrate()
        reader, post = uuid4(), PostRef(below(int(AT.timestamp() * 1000)), uuid4())
        store.push(post, [reader], AT)
        assert store.home_page(reader, limit=5) == [post]
    finally:
        store.close()


@pytest.mark.parametrize(
    ("options", "user", "host"),
    [
        ("", "cassandra:cassandra@", "127.0.0.1"),
        ("ssl=true", "cassandra:cassandra@", "127.0.0.1"),
        ("ssl_ca_certs={other}", "cassandra:cassandra@", "127.0.0.1"),
        (TRUSTED, "cassandra:cassandra@", "127.0.0.2"),
        (TRUSTED, "cassandra:wrong@", "127.0.0.1"),
        (TRUSTED, "", "127.0.0.1"),
    ],
    ids=["in the clear", "unknown authority", "another authority", "another name", "wrong password", "nobody"],
)
def test_nothing_goes_to_whom_it_should_not(server: Server, other_ca: Path, options: str, user: str, host: str) -> None:
    store = opened(server, options.replace("{other}", str(other_ca)), user, host)
    try:
        with pytest.raises(Unavailable) as refused:
            store.ping()
        assert "cassandra:cassandra" not in str(refused.value)
    finally:
        store.close()


def test_the_server_speaks_nothing_but_tls(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=5) as plain:
        plain.sendall(bytes([5, 0, 0, 0, 5, 0, 0, 0, 0]))
        assert plain.recv(1) in {b"", b"\x15"}, "closed, or an alert of TLS"
