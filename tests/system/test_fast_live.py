"""The fast path of a real server: the same bytes on the wire as without it, and metrics of all its workers."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps import BASE
from tests.system.live import HOST, Client, Live, migrated
from tests.system.test_metrics_live import scraped, total

pytestmark = pytest.mark.live
FREE = (b"x-request-id:", b"server-timing:", b"age:", b"cache-status:", b"date:")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    migrated(tmp_path)
    return tmp_path


@pytest.fixture
def servers(folder: Path) -> Iterator[tuple[Live, Live]]:
    """A server with and one without the fast path, on the same data. No page becomes due or is dropped by an event."""
    fast = Live(folder, WORKERS="1", SHARED_SECONDS="600", RELAY="external").answering()
    try:
        slow = Live(folder, WORKERS="1", SHARED_SECONDS="600", FAST_PATH="false", RELAY="external").answering()
        try:
            yield fast, slow
        finally:
            slow.close()
    finally:
        fast.close()


def raw(live: Live, method: str, path: str, *fields: str) -> tuple[bytes, list[bytes], bytes]:
    """The status line, the header fields in wire order (without values that may differ), and the body."""
    lines = [f"{method} {BASE}{path} HTTP/1.1", f"Host: {HOST}", "Connection: close", *fields, "", ""]
    with socket.create_connection((HOST, live.port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    status, *found = head.split(b"\r\n")
    return status, [f.split(b":")[0] if f.lower().startswith(FREE) else f for f in found], body


def test_the_same_bytes_are_on_the_wire(servers: tuple[Live, Live]) -> None:
    fast, slow = servers
    ada = fast.person("ada")
    post = ada.publish("A post")
    etag = kept(slow.client(), f"/posts/{post}")
    for path in (f"/posts/{post}", "/posts", "/tags", f"/accounts/{ada.handle}"):
        kept(slow.client(), path)
        for method in ("GET", "HEAD"):
            for fields in ((), (f"If-None-Match: {etag}",), ("If-None-Match: *",), ("X-Request-Id: abcdefgh",)):
                found = [raw(live, method, path, *fields) for live in servers]
                assert found[0] == found[1], (method, path, fields)


def kept(client: Client, path: str) -> str:
    """Request a page until it is kept; returns its entity tag."""
    for _ in range(10):
        answer = client.send("GET", path)
        if "; hit" in answer.headers["cache-status"]:
            return answer.headers["etag"]
    raise AssertionError(answer.headers)


def test_a_cached_page_uses_the_fast_path_and_counts_as_viewed(servers: tuple[Live, Live]) -> None:
    fast, _ = servers
    post = fast.person("bob").publish("A post")
    client = fast.client()
    kept(client, f"/posts/{post}")
    labels = {"route": f"{BASE}/posts/<uuid:post_id>", "method": "GET", "status": "200"}
    before = total(scraped(fast.port), "http_requests_total", **labels)
    answers = [client.send("GET", f"/posts/{post}") for _ in range(20)]
    assert {a.status for a in answers} == {200}
    assert total(scraped(fast.port), "http_requests_total", **labels) == before + 20
    assert {a.headers["server-timing"].split(";")[0] for a in answers} == {"cache"}
    fast.person("eve").ask("PUT", f"/posts/{post}/like")
    assert client.send("GET", f"/posts/{post}").body["stats"]["likes"] == 1
