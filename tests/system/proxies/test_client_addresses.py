"""Which client address limits count behind several proxies, and behind ones that pass names with underscores."""

import http.client
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from tests.apps import BASE
from tests.system.live import HOST, PATIENCE, Live, migrated
from tests.system.proxies.proxy import KINDS, by_forwarded, running

pytestmark = [pytest.mark.engines, pytest.mark.live]
FAILURES = 2
Fields = Sequence[tuple[str, str]]
# Header fields of one request each, by a client that tries to forge its address.
SPOOFED: list[Fields] = [
    [("Forwarded", "for=203.0.113.7")],
    [("Forwarded", 'for="203.0.113.7')],
    [("Forwarded", "for=203.0.113.7, for="), ("Forwarded", 'for="[2001:db8::1]')],
    [("Forwarded", ',,;; "')],
    [("Forwarded", "-" * 4000)],
    [("X_Forwarded_For", "203.0.113.7"), ("X-Forwarded-For", "203.0.113.8")],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("behind")
    migrated(made)
    return made


def live(folder: Path, **settings: str) -> Iterator[int]:
    server = Live(folder, WORKERS="1", ADDRESS_LOGIN_FAILURES=f"{FAILURES}", **settings)
    try:
        yield server.answering().port
    finally:
        server.close()


@pytest.fixture(scope="module")
def by_standard(folder: Path) -> Iterator[int]:
    yield from live(folder, PROXIES="1", PROXY_HEADER="Forwarded")


@pytest.fixture(scope="module")
def behind_two(folder: Path) -> Iterator[int]:
    yield from live(folder, PROXIES="2")


def refusal(port: int, address: str, fields: Fields = ()) -> int:
    """The status of a sign-in with a wrong password."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=PATIENCE, source_address=(address, 0))) as connection:
        body = json.dumps({"login": f"nobody_{uuid4().hex[:8]}", "password": "wrong wrong wrong"}).encode()
        connection.putrequest("POST", f"{BASE}/sessions")
        for name, value in [("Content-Type", "application/json"), ("Content-Length", f"{len(body)}"), *fields]:
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse().status


@pytest.mark.parametrize("name", list(KINDS))
def test_a_forged_forwarded_header_does_not_evade_the_limit(name: str, by_standard: int) -> None:
    # Each proxy has its own addresses: failures count for a minute, and all proxies are in front of one server.
    one, other = (f"127.1.{list(KINDS).index(name)}.{n}" for n in (2, 3))
    with running(name, by_standard, changes=by_forwarded(name)) as proxy:
        found = [refusal(proxy.port, one, fields) for fields in SPOOFED[:FAILURES]]
        assert found == [401] * FAILURES
        assert [*map(partial(refusal, proxy.port, one), SPOOFED)] == [429] * len(SPOOFED)
        assert refusal(proxy.port, other, [("Forwarded", f"for={one}")]) == 401


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("haproxy", "nginx"),
        pytest.param("varnish", "haproxy", marks=pytest.mark.proof),
        pytest.param("nginx", "varnish", marks=pytest.mark.proof),
    ],
)
def test_behind_two_proxies_the_client_is_the_one_the_outer_proxy_saw(outer: str, inner: str, behind_two: int) -> None:
    one, other = (f"127.2.{list(KINDS).index(outer)}.{n}" for n in (2, 3))
    with running(inner, behind_two) as near, running(outer, near.port) as far:
        for n in range(FAILURES):
            assert refusal(far.port, one, [("X-Forwarded-For", f"203.0.113.{n}, 203.0.113.7")]) == 401
        assert refusal(far.port, one, [("X-Forwarded-For", "203.0.113.9"), ("X_Forwarded_For", "a, b")]) == 429
        assert refusal(far.port, other, [("X-Forwarded-For", one)]) == 401
