"""HTTP/1.1 with servers that may stall, send byte by byte or never end: each exchange has one deadline.

It uses h11, which only parses and touches no socket, so all reads count against the same deadline. Redirects are not
followed, and the environment's proxy settings are ignored.
"""

import contextlib
import select
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import h11
from msgspec import Struct

from repositories.http_client.dialling import BrokenExchange, Dialler, left
from repositories.http_client.origin import Origin

# The largest head of an answer, in bytes.
_MOST_HEAD = 16 * 1024
_CHUNK = 64 * 1024
# The errors on a connection that the server has closed.
_CLOSED = (ConnectionError, ssl.SSLEOFError)
Headers = Sequence[tuple[str, str]]
Request = tuple[h11.Request, h11.Data, h11.EndOfMessage]


class HttpAnswer(Struct, frozen=True):
    """An answer. `headers` have lower-case names. `body` is cut off at the limit, or where the server stopped."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpConnection:
    """A connection that is kept open between exchanges if the server allows it. For one thread at a time.

    A server may close a kept connection at any time, even while a request is written to it. If it turns out to be
    closed before a byte of the answer came, the request is sent once more on a new connection (RFC 9112, 9.3.1): send
    only requests that may arrive twice.

    `permits` is called with the address that is connected to; the name is resolved once for both. `most_body` is how
    many bytes of a body are read. Every method raises `OSError` (`TimeoutError` after `until`, a time of
    `time.monotonic`), and then the connection is closed.
    """

    def __init__(self, origin: Origin, *, most_body: int, permits: Callable[[str], bool] = lambda _: True) -> None:
        self._origin = origin
        self._most_body = most_body
        self._dialler = Dialler(origin, permits)
        self._socket: socket.socket | None = None
        self._state = h11.Connection(h11.CLIENT)
        # The request to repeat if the connection is closed: None on a new one, and after a byte of the answer came.
        self._again: Request | None = None

    def send(self, method: str, target: str, headers: Headers, body: bytes, until: float) -> None:
        """Connect if necessary, and send. `receive` has to follow."""
        with self._closing():
            framing = [("Host", self._origin.authority), ("Content-Length", str(len(body)))]
            head = h11.Request(method=method, target=target, headers=[*framing, *headers])
            request = (head, h11.Data(data=body), h11.EndOfMessage())
            if self._is_kept():
                self._again = request
                with contextlib.suppress(*_CLOSED):
                    self._write(request, until)
                    return
            self._send_anew(request, until)

    def receive(self, until: float) -> HttpAnswer:
        """The answer, as soon as there is a head: a failure after that only cuts off the body."""
        with self._closing():
            head = self._event(until)
            while not isinstance(head, h11.Response):
                head = self._event(until)
        body = b""
        try:
            while isinstance(part := self._event(until), h11.Data):
                body += part.data
                if len(body) > self._most_body:
                    raise BrokenExchange("the body is too large")
            self._state.start_next_cycle()
            # Otherwise it would be taken for the answer to the next request.
            if self._state.trailing_data[0]:
                raise BrokenExchange("there is more than an answer")
        except (OSError, h11.ProtocolError):
            self.close()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        return HttpAnswer(head.status_code, headers, body[: self._most_body])

    def close(self) -> None:
        sock, self._socket = self._socket, None
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD)
        self._again = None
        if sock:
            sock.close()

    @contextlib.contextmanager
    def _closing(self) -> Any:
        try:
            yield
        except h11.ProtocolError as error:
            self.close()
            raise BrokenExchange(f"this is no HTTP: {error}") from error
        except BaseException:
            self.close()
            raise

    def _event(self, until: float) -> Any:
        while (event := self._state.next_event()) is h11.NEED_DATA:
            # Called first, since it may connect anew, which replaces `self._state`.
            came = self._received(until)
            self._state.receive_data(came)
        if isinstance(event, h11.ConnectionClosed):
            raise BrokenExchange("closed without an answer")
        return event

    def _received(self, until: float) -> bytes:
        """The next bytes; empty at the end."""
        again, self._again = self._again, None
        if again is None:
            return self._read(until)
        with contextlib.suppress(*_CLOSED):
            if came := self._read(until):
                return came
        self._send_anew(again, until)
        return self._read(until)

    def _is_kept(self) -> bool:
        """Whether there is an open connection. An idle one that can be read from is closed, as its server did."""
        if self._socket:
            # Not `select`, which does not take file descriptors above 1023.
            idle = select.poll()
            idle.register(self._socket, select.POLLIN)
            if idle.poll(0):
                self.close()
        return self._socket is not None

    def _send_anew(self, request: Request, until: float) -> None:
        self.close()
        self._socket = self._dialler.open(until)
        self._write(request, until)

    def _write(self, request: Request, until: float) -> None:
        rest = memoryview(b"".join(self._state.send(part) or b"" for part in request))
        while rest:
            rest = rest[self._socket_until(until).send(rest) :]

    def _read(self, until: float) -> bytes:
        return self._socket_until(until).recv(_CHUNK)

    def _socket_until(self, until: float) -> socket.socket:
        """The socket, for one call, which ends by `until`."""
        if self._socket is None:
            raise BrokenExchange("there is no connection")
        self._socket.settimeout(left(until))
        return self._socket
