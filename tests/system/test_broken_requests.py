"""Requests that are incomplete, slow or malformed, sent by raw sockets to the real command."""

import json
import shutil
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

import pytest

from app.http.edge.body import BODY_LIMIT
from app.server.bodies import EACH, IN_CHUNKS
from tests.apps import BASE, PASSWORD
from tests.engines.kernel import wait_until
from tests.system.live import HOST, Answer, Client, Live, answer_of, migrated

pytestmark = pytest.mark.live
SECONDS = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("broken")
    migrated(folder)
    (folder / ".env").write_text("HTTP_AUTHORIZATION=Bearer x\nHTTP_TRANSFER_ENCODING=x\nquartet.without=x\n")
    live = Live(folder, BODY_SECONDS=str(SECONDS), PROXIES="1", LOGIN_FAILURES="0")
    try:
        yield live.answering()
    finally:
        live.close()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def ada(server: Live) -> Client:
    return server.person("ada")


def opened(server: Live, method: str, path: str, *lines: str, token: str | None = None) -> socket.socket:
    """Open a connection, and send the head of a request."""
    head = [f"{method} {BASE}{path} HTTP/1.1", "Host: x", "Content-Type: application/json", *lines]
    head += [f"Authorization: Bearer {token}"] if token else []
    connection = socket.create_connection((HOST, server.port), timeout=20)
    connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
    return connection


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


LENGTH, CHUNKED = "Content-Length: 60", "Transfer-Encoding: chunked"
BROKEN = [
    (LENGTH, b""),
    (LENGTH, b"{}"),
    (CHUNKED, b""),
    (CHUNKED, b"zz\r\n{}\r\n0\r\n\r\n"),
    (CHUNKED, b"-2\r\n{}\r\n"),
]


@pytest.mark.parametrize("ending", ["half", "close", "reset"])
@pytest.mark.parametrize(("announced", "sent"), BROKEN)
def test_a_request_that_breaks_off_marks_nothing_as_read(
    server: Live, ada: Client, announced: str, sent: bytes, ending: str
) -> None:
    key = f"Idempotency-Key: {uuid4()}"
    connection = opened(server, "POST", "/notifications/read", announced, key, token=ada.token)
    connection.sendall(sent)
    if ending == "half":
        connection.shutdown(socket.SHUT_WR)
        answer = answer_of(connection)
        assert (answer.status, answer.body["code"]) == (400, "incomplete_body")
    (reset if ending == "reset" else socket.socket.close)(connection)
    name, _, value = key.partition(": ")
    again = {name.replace("-", "_"): value}
    answered: list[Answer] = []

    def free() -> bool:
        answered.append(ada.send("POST", "/notifications/read", {"up_to": str(uuid4())}, **again))
        return answered[-1].status != 409

    assert wait_until(free, 10)
    assert answered[-1].status in {200, 404, 422}
    assert answered[-1].status != 422 or answered[-1].body["code"] != "idempotency_key_reused"


@pytest.mark.parametrize("announced", ["Content-Length: 500", CHUNKED])
@pytest.mark.parametrize("ending", [b"", b"zz\r\n", b"5\r\nab"])
def test_complete_json_in_an_incomplete_body_creates_nothing(
    server: Live, ada: Client, announced: str, ending: bytes
) -> None:
    before = ada.titles(f"/accounts/{ada.handle}/posts")
    body = b'{"title":"a","body":"b"}'
    with opened(server, "POST", "/posts", announced, token=ada.token) as connection:
        connection.sendall((b"%x\r\n%s\r\n" % (len(body), body) if announced == CHUNKED else body) + ending)
        connection.shutdown(socket.SHUT_WR)
        answer = answer_of(connection)
        assert (answer.status, answer.body["code"]) == (400, "incomplete_body")
    assert ada.titles(f"/accounts/{ada.handle}/posts") == before


def test_other_transfer_codings_are_not_implemented(server: Live, ada: Client) -> None:
    for line in ("Transfer-Encoding: gzip, chunked", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"):
        with opened(server, "POST", "/posts", line, token=ada.token) as connection:
            body = b'{"title":"a","body":"b"}'
            connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            assert answer_of(connection).status == 501


def test_a_body_in_chunks_that_is_too_long_is_refused(server: Live, ada: Client) -> None:
    with opened(server, "POST", "/posts", CHUNKED, token=ada.token) as connection:
        connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (BODY_LIMIT + 1, b" " * (BODY_LIMIT + 1)))
        assert answer_of(connection).status == 413


def test_an_endless_chunked_body_is_cut_off(server: Live, ada: Client) -> None:
    """Its connection is closed, long before memory runs out or the deadline passes."""
    piece, sent = b"%x\r\n%s\r\n" % (2**20, b" " * 2**20), 0
    with opened(server, "POST", "/posts", CHUNKED, token=ada.token) as connection, suppress(ConnectionError):
        while sent < 100 * IN_CHUNKS:
            connection.sendall(piece)
            sent += len(piece)
    assert sent < 100 * IN_CHUNKS
    assert ada.send("POST", "/posts", {"title": "a", "body": "b"}).status == 201


def test_slow_bodies_of_one_address_delay_nobody_and_are_closed(server: Live, ada: Client) -> None:
    """There are far more of them than request slots: the server has 4 in each of 2 processes."""
    slow = [
        opened(server, "POST", "/posts", "Content-Length: 100", "X-Forwarded-For: 203.0.113.7", token=ada.token)
        for _ in range(2 * EACH + 8)
    ]
    for connection in slow:
        connection.sendall(b"{")
    drips = opened(server, "POST", "/posts", "Content-Length: 100", "X-Forwarded-For: 203.0.113.8", token=ada.token)
    in_chunks = opened(server, "POST", "/posts", CHUNKED, "X-Forwarded-For: 203.0.113.10", token=ada.token)
    told_to_go_on = opened(server, "POST", "/posts", "Content-Length: 9", "Expect: 100-continue", token=ada.token)
    assert told_to_go_on.recv(1000).startswith(b"HTTP/1.1 100 ")
    for n in range(20):
        assert ada.send("POST", "/posts", {"title": str(n), "body": "b"}, X_Forwarded_For="203.0.113.9").status == 201
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.1):
            drips.sendall(b" ")
            in_chunks.sendall(b"1\r\n \r\n")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(drip)
        slowest, too = answer_of(drips), answer_of(in_chunks)
        stop.set()
    assert (slowest.status, too.status, answer_of(told_to_go_on).status) == (408, 408, 408)
    answers = [answer_of(connection) for connection in slow]
    codes = {(a.status, a.body["code"]) for a in answers}
    assert codes <= {(408, "request_timeout"), (429, "too_many_requests")}
    assert (408, "request_timeout") in codes
    assert sum(a.status == 408 for a in answers) <= 2 * EACH
    for connection in (*slow, drips, in_chunks, told_to_go_on):
        connection.close()
    ready = server.client()
    assert wait_until(lambda: ready.send("GET", "/health/ready").body["lost_threads"] == 0, 10)


def test_the_process_environment_does_not_affect_requests(server: Live) -> None:
    assert server.client().send("GET", "/posts").status == 200


def test_only_http_1_is_spoken(server: Live) -> None:
    with socket.create_connection((HOST, server.port), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        assert not connection.recv(100).startswith(b"\x00\x00")


def test_a_valid_chunked_body_is_accepted(server: Live) -> None:
    body = json.dumps({"login": "nobody", "password": PASSWORD}).encode()
    with opened(server, "POST", "/sessions", CHUNKED) as connection:
        connection.sendall(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert answer_of(connection).status == 401
