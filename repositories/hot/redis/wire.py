"""One connection to Redis. redis-py opens it (URL, TLS, sign-in, database), hiredis packs commands and reads replies.

redis-py's own client costs three times as much for each exchange, and has a time limit for each step, while every call
here has a deadline as a whole: docs/decisions/0015-redis-wire.md.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import hiredis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as TooSlow
from redis.retry import Retry

Command = Sequence[str | bytes | int]
_CLASSES = {"rediss": SSLConnection, "unix": UnixDomainSocketConnection}
_BYTES = 1 << 16
_NOTHING = object()
# At the beginning of a reply, or within the error of a script.
_NOT_SERVING = re.compile(r"(?:^|-)(?:READONLY|MASTERDOWN|LOADING)\b")
# Its annotation is narrower than what it takes.
_packed: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]


class NotServing(ResponseError):
    """The server is a replica, or is still loading its data, and did nothing. Another may be at the address by now."""


class _Opened(Protocol):
    """The part of redis-py's connection that is used here; most of it has no annotations."""

    host: str
    port: int
    socket_timeout: float
    socket_connect_timeout: float
    _sock: Any

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def can_read(self, timeout: float) -> bool: ...


class Wire:
    """A connection for one thread at a time. `talk` keeps its deadline even if the answer arrives byte by byte.

    `options` are for redis-py's connection class of `scheme`. The link sets `era` (the era in which it connected),
    `asked` (when it last asked for the server's role, by the monotonic clock), `history` (the replication id found
    then) and `greeted`. `refused` says whether a refusal was among the last replies.
    """

    def __init__(self, scheme: str, options: Mapping[str, Any], seconds: float) -> None:
        self._opened = _connection(scheme, options, seconds)
        self._socket: Any = None
        self._reader: Any = None
        self.era = 0
        self.asked = 0.0
        self.history = ""
        self.greeted = False
        self.refused = False

    @property
    def is_connected(self) -> bool:
        return self._socket is not None

    def connect(self, deadline: float, place: tuple[str, int] | None = None) -> None:
        """Connect. `place` is host and port if the options do not have them."""
        if place is not None:
            self._opened.host, self._opened.port = place
        self._opened.socket_connect_timeout = self._opened.socket_timeout = _left(deadline)
        self._opened.connect()
        self._reader = hiredis.Reader(protocolError=ConnectionLost, replyError=_refusal, notEnoughData=_NOTHING)
        self._socket = self._opened._sock  # noqa: SLF001  redis-py has no name for it

    def disconnect(self) -> None:
        self._socket = None
        self._opened.disconnect()

    def is_dead(self) -> bool:
        """Whether the server has closed the connection, or has sent something unexpected."""
        try:
            return self._opened.can_read(0)
        except ConnectionLost:
            return True

    def talk(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """The replies to the commands, refusals as `ResponseError`. Raises `ConnectionLost`, `TooSlow`.

        The connection is closed if the server is not serving.
        """
        try:
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(b"".join([_packed(tuple(command)) for command in commands]))
            replies = self._replies(len(commands), deadline)
        except TimeoutError as error:
            raise TooSlow("Timeout reading from socket") from error
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        if self.refused and any(isinstance(reply, NotServing) for reply in replies):
            self.disconnect()
        return replies

    def _replies(self, count: int, deadline: float) -> list[Any]:
        """Read `count` replies. A single loop, since almost every request to the server passes here."""
        reader, replies, self.refused = self._reader, list[Any](), False
        while len(replies) < count:
            reply = reader.gets()
            if reply is _NOTHING:
                self._socket.settimeout(_left(deadline))
                data = self._socket.recv(_BYTES)
                if not data:
                    raise ConnectionLost("Connection closed by server.")
                reader.feed(data)
                continue
            if isinstance(reply, ResponseError):
                self.refused = True
            replies.append(reply)
        return replies


def _connection(scheme: str, given: Mapping[str, Any], seconds: float) -> _Opened:
    kind: Any = _CLASSES.get(scheme, Connection)
    options = dict(given) | {
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
    if text.startswith("NOSCRIPT"):
        return NoScriptError(text)
    return NotServing(text) if _NOT_SERVING.search(text) else ResponseError(text)


def _left(deadline: float) -> float:
    """Seconds until the deadline; never zero, which would mean 'wait for ever' to a socket."""
    return max(deadline - time.monotonic(), 0.001)
