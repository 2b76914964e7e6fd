"""A proxy that forwards requests to a server, keeps the replies, and closes the client's connection without a reply."""

import re
import socket
import threading
from typing import Self

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class CuttingProxy:
    """Serves one connection at a time. `replies` are those that the clients did not get."""

    def __init__(self, host: str, port: int) -> None:
        self.replies: list[bytes] = []
        self._target = (host, port)
        self._listener = socket.create_server((host, 0))
        self._listener.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            with client, socket.create_connection(self._target, timeout=20) as server:
                client.settimeout(20)
                server.sendall(_message(client))
                self.replies.append(_message(server))


def _message(source: socket.socket) -> bytes:
    """Read a complete HTTP message with a Content-Length."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += _received(source)
    head, _, body = found.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    while length and len(body) < int(length[1]):
        body += _received(source)
    return head + b"\r\n\r\n" + body


def _received(source: socket.socket) -> bytes:
    found = source.recv(65536)
    if not found:
        raise ConnectionError("the connection ended in the middle of a message")
    return found
