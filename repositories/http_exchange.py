"""HTTP/1.1 to somebody who may stall, drip bytes or never end: each exchange has one deadline, whatever comes.

By h11, which parses and touches no socket; so every byte that is awaited counts against the same deadline. Redirects
are answers like any other, and proxies of the environment play no part.
"""

import contextlib
import functools
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

import h11
from msgspec import Struct

from repositories.http_origin import Origin
from repositories.name_lookup import look_up

# Of the head of an answer, in bytes.
_MOST_HEAD = 16 * 1024
_CHUNK = 64 * 1024
Address = tuple[Any, ...]
Headers = Sequence[tuple[str, str]]


class HttpAnswer(Struct, frozen=True):
    """`headers` are by lower-case name. `body` is cut off at the limit, or where no more of it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class BrokenExchange(OSError):
    """What came is no HTTP, or the address may not be spoken to."""


class HttpConnection:
    """Kept open between exchanges as far as the server allows. For one thread at a time.

    `permits` is asked about the address that is connected to; names are resolved once for both. `most_body` is how much
    of an answer is read, in bytes. Every method raises `OSError` (`TimeoutError` when `until`, of `time.monotonic`, is
    over), and the connection is closed then.
    """

    def __init__(self, origin: Origin, *, most_body: int, permits: Callable[[str], bool] = lambda _: True) -> None:
        self._origin = origin
        self._most_body = most_body
        self._permits = permits
        self._socket: socket.socket | None = None
        self._state = h11.Connection(h11.CLIENT)

    def send(self, method: str, target: str, headers: Headers, body: bytes, until: float) -> None:
        """Connects, if need be, and sends. `receive` has to follow."""
        with self._closing():
            sock = self._ready(until)
            framing = [("Host", self._origin.authority), ("Content-Length", str(len(body)))]
            request = h11.Request(method=method, target=target, headers=[*framing, *headers])
            parts = (request, h11.Data(data=body), h11.EndOfMessage())
            left = memoryview(b"".join(self._state.send(part) or b"" for part in parts))
            while left:
                sock.settimeout(_left(until))
                left = left[sock.send(left) :]

    def receive(self, until: float) -> HttpAnswer:
        """The head decides: whatever comes behind it, there is an answer."""
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
            # Or it would be read as the answer to a request that has not been sent yet.
            if self._state.trailing_data[0]:
                raise BrokenExchange("there is more than an answer")
        except (OSError, h11.ProtocolError):
            self.close()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        return HttpAnswer(head.status_code, headers, body[: self._most_body])

    def close(self) -> None:
        sock, self._socket = self._socket, None
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD)
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
        if self._socket is None:
            raise BrokenExchange("there is no connection")
        while (event := self._state.next_event()) is h11.NEED_DATA:
            self._socket.settimeout(_left(until))
            self._state.receive_data(self._socket.recv(_CHUNK))
        if isinstance(event, h11.ConnectionClosed):
            raise BrokenExchange("closed without an answer")
        return event

    def _ready(self, until: float) -> socket.socket:
        """What can be read from an idle connection is its end."""
        if self._socket and select.select([self._socket], [], [], 0)[0]:
            self.close()
        if self._socket is None:
            self.close()
            self._socket = self._connected(until)
        return self._socket

    def _connected(self, until: float) -> socket.socket:
        found = [one for one in addresses_of(self._origin, until) if self._permits(one[4][0])]
        if not found:
            raise BrokenExchange(f"{self._origin.host} has no address that may be spoken to")
        failure: OSError = BrokenExchange("not tried")
        for number, (family, kind, protocol, _, address) in enumerate(found):
            try:
                return self._opened(socket.socket(family, kind, protocol), address, until, len(found) - number)
            except OSError as error:
                failure = error
        raise failure

    def _opened(self, sock: socket.socket, address: Address, until: float, among: int) -> socket.socket:
        """Each of several addresses gets its share of the time."""
        try:
            sock.settimeout(_left(until) / among)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._origin.scheme == "http":
                return sock
            sock.settimeout(_left(until))
            return _tls().wrap_socket(sock, server_hostname=self._origin.host)
        except BaseException:
            sock.close()
            raise


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def addresses_of(origin: Origin, until: float) -> list[Any]:
    """As `getaddrinfo` has them. Raises `OSError`."""
    with contextlib.suppress(ValueError):
        ip_address(origin.host)
        return socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    try:
        return look_up(origin.host, origin.port, _left(until))
    except UnicodeError:
        raise BrokenExchange(f"{origin.host} is no name of a host") from None


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
