"""The HTTP client's connections: reuse, those that the server closes, and several addresses of which one stalls."""

import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from repositories.http_client import dialling
from repositories.http_client.dialling import BrokenExchange
from repositories.http_client.exchange import HttpConnection
from repositories.http_client.origin import Origin

HOST = "127.0.0.1"
CERTIFICATE = Path(__file__).parent / "localhost.pem"
LONG, SHORT = 30.0, 0.2
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
END, RESET, STALL, IN_HEAD, CUT = b"end", b"reset", b"stall", b"in head", b"H"


class Server:
    """A server. Each connection has a list of answers, one per request: bytes, sent one by one, or a way to end."""

    def __init__(
        self, listening: socket.socket, connections: Sequence[Sequence[bytes]], tls: ssl.SSLContext | None
    ) -> None:
        self.seen: list[bytes] = []
        self.origin = Origin("http", HOST, listening.getsockname()[1])
        self._listening = listening
        self._connections = connections
        self._tls = tls
        self.over = threading.Event()

    def run(self) -> None:
        for answers in self._connections:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as connection:
                for answer in answers:
                    self._answer(connection, answer)
                connection.settimeout(LONG)
                if answers[-1].endswith(b"\n"):
                    connection.recv(1)

    def _answer(self, connection: socket.socket, answer: bytes) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (came := connection.recv(1)):
            head += came
        self.seen.append(head.partition(b"\r\n")[0].split()[1])
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if answer != IN_HEAD:
            while length:
                length -= len(connection.recv(length))
        if answer == STALL:
            self.over.wait(LONG)
        elif answer in {RESET, IN_HEAD}:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif answer != END:
            for byte in answer:
                connection.sendall(bytes([byte]))


@contextmanager
def serving(*connections: Sequence[bytes], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    with socket.create_server((HOST, 0)) as listening:
        server = Server(listening, connections, tls)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def connected(origin: Origin) -> Iterator[HttpConnection]:
    connection = HttpConnection(origin, most_body=1000)
    try:
        yield connection
    finally:
        connection.close()


def ask(connection: HttpConnection, target: str, seconds: float = LONG, body: bytes = b"{}") -> int:
    until = time.monotonic() + seconds
    connection.send("POST", target, (), body, until)
    return connection.receive(until).status


@pytest.mark.parametrize("end", [END, RESET])
def test_a_request_unanswered_on_a_kept_connection_is_retried_once(end: bytes) -> None:
    with serving([OK, end], [OK]) as server, connected(server.origin) as connection:
        assert [ask(connection, target) for target in ("/1", "/2")] == [204, 204]
        assert server.seen == [b"/1", b"/2", b"/2"]


def test_a_request_unread_on_a_kept_connection_is_retried_once() -> None:
    with serving([OK, IN_HEAD], [OK]) as server, connected(server.origin) as connection:
        assert [ask(connection, "/1"), ask(connection, "/2", body=b"x" * 20_000_000)] == [204, 204]
        assert server.seen == [b"/1", b"/2", b"/2"]


@pytest.mark.parametrize(
    ("connections", "seen"),
    [
        pytest.param([[OK, END], [END]], [b"/1", b"/2", b"/2"], id="again"),
        pytest.param([[OK, RESET], [RESET]], [b"/1", b"/2", b"/2"], id="again reset"),
        pytest.param([[OK, CUT]], [b"/1", b"/2"], id="something came"),
        pytest.param([[OK, STALL]], [b"/1", b"/2"], id="it stalls"),
    ],
)
def test_a_request_is_never_retried_twice(connections: list[list[bytes]], seen: list[bytes]) -> None:
    with serving(*connections) as server, connected(server.origin) as connection:
        assert ask(connection, "/1") == 204
        with pytest.raises(OSError):  # noqa: PT011  of any kind
            ask(connection, "/2", SHORT if STALL in connections[0] else LONG)
        assert server.seen == seen


@pytest.mark.parametrize("end", [END, RESET])
def test_a_fresh_connection_that_ends_is_a_failure(end: bytes) -> None:
    with serving([end]) as server, connected(server.origin) as connection:
        with pytest.raises((BrokenExchange, ConnectionResetError)):
            ask(connection, "/1")
        assert server.seen == [b"/1"]


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, True),
        (b"HTTP/1.1 200\r\nTRANSFER-ENCODING:chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-Sum: 1\r\nX: 9\r\n\r\n", True),
        (b"HTTP/1.1 204 Ok\r\ncONNECTION: Keep-Alive ,cLoSe\r\n\r\n", False),
        (b"HTTP/1.0 204 Ok\r\nConnection: keep-alive\r\n\r\n", False),
    ],
)  # fmt: skip
def test_answers_may_come_byte_by_byte(answer: bytes, kept: bool) -> None:  # noqa: FBT001
    later = [[answer, OK]] if kept else [[answer], [OK]]
    with serving(*later) as server, connected(server.origin) as connection:
        assert [ask(connection, "/1") // 100, ask(connection, "/2")] == [2, 204]
        assert server.seen == [b"/1", b"/2"]


def test_a_process_with_many_open_files() -> None:
    """`select` accepts no file descriptor above 1023."""
    with serving([OK, OK]) as server, connected(server.origin) as connection:
        taken = [os.dup(0) for _ in range(1024)]
        try:
            assert [ask(connection, target) for target in ("/1", "/2")] == [204, 204]
        finally:
            for number in taken:
                os.close(number)


def test_an_address_that_begins_no_tls_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The silent address is also not the first to be tried for the next connection."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    dialling._tls.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with socket.create_server((HOST, 0)) as silent, serving([OK, END], [OK], tls=context) as server:
        places = [silent.getsockname(), (HOST, server.origin.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with connected(Origin("https", "localhost", server.origin.port)) as connection:
            # Half of these 2 seconds are spent on the first address.
            assert ask(connection, "/1", 2) == 204
            assert ask(connection, "/2") == 204
        assert server.seen == [b"/1", b"/2", b"/2"]
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()
    dialling._tls.cache_clear()
