"""HTTP/1.1 to somebody who may stall, drip bytes or never end: each exchange has one deadline, whatever comes.

By h11, which parses and touches no socket; so every byte that is awaited counts against the same deadline. Redirects
are answers like any other, and proxies of the environment play no part.
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

# Of the head of an answer, in bytes.
_MOST_HEAD = 16 * 1024
_CHUNK = 64 * 1024
# How a connection ends that the other side has closed.
_OVER = (ConnectionError, ssl.SSLEOFError)
Headers = Sequence[tuple[str, str]]
Request = tuple[h11.Request, h11.Data, h11.EndOfMessage]


class HttpAnswer(Struct, frozen=True):
    """`headers` are by lower-case name. `body` is cut off at the limit, or where no more of it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpConnection:
    """Kept open between exchanges as far as the server allows. For one thread at a time.

    A server may close a kept connection at any time, also just when it is written to. So where one turns out to be over
    before a byte of an answer came, the same is asked once more, on a fresh connection (RFC 9112, 9.3.1): only ask by
    this what may come twice.

    `permits` is asked about the address that is connected to; names are resolved once for both. `most_body` is how much
    of an answer is read, in bytes. Every method raises `OSError` (`TimeoutError` when `until`, of `time.monotonic`, is
    over), and the connection is closed then.
    """

    def __init__(self, origin: Origin, *, most_body: int, permits: Callable[[str], bool] = lambda _: True) -> None:
        self._origin = origin
        self._most_body = most_body
        self._dialler = Dialler(origin, permits)
        self._socket: socket.socket | None = None
        self._state = h11.Connection(h11.CLIENT)
        # What is asked once more if the connection is over: None on a fresh one, and when something came.
        self._again: Request | None = None

    def send(self, method: str, target: str, headers: Headers, body: bytes, until: float) -> None:
        """Connects, if need be, and sends. `receive` has to follow."""
        with self._closing():
            framing = [("Host", self._origin.authority), ("Content-Length", str(len(body)))]
            head = h11.Request(method=method, target=target, headers=[*framing, *headers])
            request = (head, h11.Data(data=body), h11.EndOfMessage())
            if self._is_kept():
                self._again = request
                with contextlib.suppress(*_OVER):
                    self._write(request, until)
                    return
            self._ask_anew(request, until)

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
            # By a fresh connection there is a state of its own.
            came = self._received(until)
            self._state.receive_data(came)
        if isinstance(event, h11.ConnectionClosed):
            raise BrokenExchange("closed without an answer")
        return event

    def _received(self, until: float) -> bytes:
        """What comes next; nothing at the end."""
        again, self._again = self._again, None
        if again is None:
            return self._read(until)
        with contextlib.suppress(*_OVER):
            if came := self._read(until):
                return came
        self._ask_anew(again, until)
        return self._read(until)

    def _is_kept(self) -> bool:
        """What can be read from an idle connection is its end."""
        if self._socket:
            # Not by `select`, which takes no file of a number over 1023.
            idle = select.poll()
            idle.register(self._socket, select.POLLIN)
            if idle.poll(0):
                self.close()
        return self._socket is not None

    def _ask_anew(self, request: Request, until: float) -> None:
        self.close()
        self._socket = self._dialler.open(until)
        self._write(request, until)

    def _write(self, request: Request, until: float) -> None:
        rest = memoryview(b"".join(self._state.send(part) or b"" for part in request))
        while rest:
            rest = rest[self._opened(until).send(rest) :]

    def _read(self, until: float) -> bytes:
        return self._opened(until).recv(_CHUNK)

    def _opened(self, until: float) -> socket.socket:
        """For one call, which ends by then."""
        if self._socket is None:
            raise BrokenExchange("there is no connection")
        self._socket.settimeout(left(until))
        return self._socket
