"""A receiver of webhooks with settable behaviour: correct and malformed answers, stalls, slow bytes, disconnects."""

import base64
import hashlib
import hmac
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import h11
import msgspec
from msgspec import Struct

HOST = "127.0.0.1"


class Posted(Struct, frozen=True):
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        return msgspec.json.decode(self.body)

    def signed_with(self, secret: str) -> bool:
        """Whether the signature is valid by the Standard Webhooks specification, checked without its library."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        text = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        wanted = "v1," + base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
        return wanted in self.headers["webhook-signature"].split()


# The bytes that are sent for each kind of answer, before the connection is closed. Complete answers announce the close;
# otherwise the next request could be sent on a connection that is about to be closed.
MALFORMED: dict[str, bytes] = {
    "cut": b"HTTP/1.1 200 OK\r\nContent-Le",
    "garbage": b"\x00\xff\x16 no HTTP at all\r\n\r\n",
    "redirect": b"HTTP/1.1 307 Moved\r\nLocation: /elsewhere\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "empty": b"",
    "large head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "cut body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "length of no number": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n",
    "endless chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\nok",
    "too long": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok and more",
    "switched": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "hints alone": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 500,
    "hints and an answer": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 500 + b"HTTP/1.1 204 Ok\r\nConnection: close\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "status of one digit": b"HTTP/1.1 2 OK\r\nContent-Length: 0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "HTTP 2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\r\n\r\n",
    "HTTP 0.9": b"<p>ok</p>",
    "no colon": b"HTTP/1.1 200 OK\r\nno header at all\r\nContent-Length: 0\r\n\r\n",
}
# The kinds above whose head is complete: the client takes them as an answer, whatever follows the head.
ANSWERS = {
    "redirect", "cut body", "length and chunks", "broken chunk", "endless chunk", "too long", "hints and an answer",
}  # fmt: skip
# Sent once, and then repeated until the other side closes the connection.
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "stall": (b"", b""),
    "drip": (b"", b"H"),
    "processing": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "endless body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 10_000),
    "dripping body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"x"),
}


class Receiver:
    """`answers` are used one by one, and then `usual`. Each is a status, `429 7` (with a Retry-After), `200 twice` (one
    answer too many), or a key of `MALFORMED` or `ENDLESS`.

    Events whose ids are in `refused` get a 500 in any case.
    """

    def __init__(self, listening: socket.socket) -> None:
        self.posted: list[Posted] = []
        self.answers: deque[str] = deque()
        self.refused: set[str] = set()
        self.usual = "204"
        self.connections = 0
        self.url = f"http://{HOST}:{listening.getsockname()[1]}/hook?a=1"
        self._listening = listening
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.posted]

    def run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(connection,))
                thread.start()
                self._threads.append(thread)

    def close(self) -> None:
        self._over.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, h11.RemoteProtocolError):
            connection.settimeout(0.05)
            state = h11.Connection(h11.SERVER)
            while (posted := self._read(connection, state)) is not None:
                self.posted.append(posted)
                answer = "500" if posted.headers.get("webhook-id") in self.refused else self._next()
                if not answer[0].isdigit():
                    self._answer_malformed(connection, answer)
                    return
                status, _, wait = answer.removesuffix(" twice").partition(" ")
                body = b"" if status == "204" else b"ok"
                headers = [("Content-Length", str(len(body))), *([("Retry-After", wait)] if wait else [])]
                head = h11.Response(status_code=int(status), headers=headers)
                parts = (head, h11.Data(data=body), h11.EndOfMessage())
                whole = b"".join(state.send(part) or b"" for part in parts)
                connection.sendall(whole * (1 + answer.endswith(" twice")))
                state.start_next_cycle()

    def _next(self) -> str:
        return self.answers.popleft() if self.answers else self.usual

    def _answer_malformed(self, connection: socket.socket, answer: str) -> None:
        if answer in MALFORMED:
            connection.sendall(MALFORMED[answer])
            return
        once, again = ENDLESS[answer]
        connection.sendall(once)
        while not self._over.wait(0.01):
            connection.sendall(again)
            with suppress(TimeoutError):
                if not connection.recv(1):
                    return

    def _read(self, connection: socket.socket, state: h11.Connection) -> Posted | None:
        """The next request; None at the end."""
        head, body = None, b""
        while not self._over.is_set():
            event = state.next_event()
            if event is h11.NEED_DATA:
                with suppress(TimeoutError):
                    state.receive_data(connection.recv(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head:
                headers = {name.decode(): value.decode() for name, value in head.headers}
                return Posted(head.target.decode(), headers, body)
            else:
                return None
        return None


@contextmanager
def receiving() -> Iterator[Receiver]:
    with socket.create_server((HOST, 0)) as listening:
        receiver = Receiver(listening)
        thread = threading.Thread(target=receiver.run)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.close()
            thread.join()
            receiver.join()
