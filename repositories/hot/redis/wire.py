"""One connection to Redis. redis-py opens it (URL, TLS, sign-in, database); from then on it is a socket and hiredis.

redis-py asks the kernel twice for each step, since Python's sockets wait and then read, and looks at each reply in
Python. Here the kernel itself gives up at the deadline. That is half of the time a cached read takes.
"""

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import hiredis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as TooSlow
from redis.retry import Retry

from repositories.hot.redis.target import target_of

Command = Sequence[str | bytes | int]
_CLASSES = {"rediss": SSLConnection, "unix": UnixDomainSocketConnection}
_BYTES = 1 << 16
_NOTHING = object()
# Its annotation is narrower than what it takes.
_packed: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]


class _Opened(Protocol):
    """What is used of a connection of redis-py, most of which has no annotations."""

    socket_timeout: float
    socket_connect_timeout: float
    _sock: Any

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...


class Wire:
    """For one thread at a time. `seconds` bounds each wait for the server, and `talk` has a deadline of its own."""

    def __init__(self, url: str, seconds: float) -> None:
        self._opened = _connection(url, seconds)
        self._seconds = seconds
        self._patience = seconds
        self._socket: Any = None
        self._reader: Any = None

    @property
    def is_connected(self) -> bool:
        return self._socket is not None

    def connect(self, deadline: float) -> None:
        self._opened.socket_connect_timeout = self._opened.socket_timeout = _left(deadline)
        self._opened.connect()
        self._reader = hiredis.Reader(protocolError=ConnectionLost, replyError=_refusal, notEnoughData=_NOTHING)
        self._socket = self._opened._sock  # noqa: SLF001  redis-py has no name for it
        self._wait_at_most(self._seconds)

    def disconnect(self) -> None:
        self._socket = None
        self._opened.disconnect()

    def is_dead(self) -> bool:
        """Whether the server has closed it, or left something on it that nobody asked for."""
        idle = select.poll()
        idle.register(self._socket, select.POLLIN)
        return bool(idle.poll(0))

    def talk(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """The replies; a refusal is among them as a `ResponseError`. Raises `ConnectionLost`, `TooSlow`."""
        # Most calls begin with nearly all of their time left: the kernel keeps what was set before.
        left = _left(deadline)
        wanted = self._seconds if left > 0.9 * self._seconds else left
        if wanted != self._patience:
            self._wait_at_most(wanted)
        try:
            self._socket.sendall(b"".join([_packed(tuple(command)) for command in commands]))
            return [self._reply(deadline) for _ in commands]
        except (BlockingIOError, TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise TooSlow("Timeout reading from socket") from error
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    def _reply(self, deadline: float) -> Any:
        reply = self._reader.gets()
        while reply is _NOTHING:
            data = self._socket.recv(_BYTES)
            if not data:
                raise ConnectionLost("Connection closed by server.")
            self._reader.feed(data)
            reply = self._reader.gets()
            if reply is _NOTHING:
                self._wait_at_most(_left(deadline))
        return reply

    def _wait_at_most(self, seconds: float) -> None:
        """A TLS socket waits in Python; for others the kernel does, which is a system call less for each step."""
        self._patience = seconds
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket.settimeout(seconds)
            return
        self._socket.settimeout(None)
        whole = int(seconds)
        limit = struct.pack("ll", whole, int((seconds - whole) * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _connection(url: str, seconds: float) -> _Opened:
    address, options = target_of(url)
    kind: Any = _CLASSES.get(address.scheme, Connection)
    options |= {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "health_check_interval": 0,
        "decode_responses": False,
        # RESP2 without driver information: a new connection costs no round trips beyond AUTH and SELECT.
        "protocol": 2,
        "driver_info": None,
    }
    opened: _Opened = kind(**options)
    return opened


def _refusal(text: str) -> ResponseError:
    return NoScriptError(text) if text.startswith("NOSCRIPT") else ResponseError(text)


def _left(deadline: float) -> float:
    """Seconds until the deadline; never zero, which would mean 'wait for ever' to a socket."""
    return max(deadline - time.monotonic(), 0.001)
