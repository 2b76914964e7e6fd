"""The way to one Redis server: a bounded set of connections, and a deadline on every exchange.

It speaks through redis-py's connections without its client, which adds retries, a time limit for each step
in place of one for the whole call, and a third of the time a read takes.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from queue import Empty, LifoQueue
from typing import Any, Protocol
from urllib.parse import urlsplit

from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from repositories import meter, pools
from repositories.errors import Unavailable
from repositories.store import Store

Command = Sequence[str | bytes | int]
_POOL_OPTIONS = ("max_connections", "timeout")


class _Wire(Protocol):
    """What is used of a connection of redis-py, most of which has no annotations."""

    socket_timeout: float
    socket_connect_timeout: float

    @property
    def is_connected(self) -> bool: ...
    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def update_current_socket_timeout(self, relaxed_timeout: float) -> None: ...
    def can_read(self) -> bool: ...
    def pack_commands(self, commands: Sequence[Command]) -> list[bytes]: ...
    def send_packed_command(self, command: list[bytes], *, check_health: bool) -> None: ...
    def read_response(self, *, timeout: float) -> object: ...


class RedisLink:
    """Thread-safe. `role` is the name its errors carry; `scripts` are loaded when the server lacks them."""

    def __init__(self, url: str, *, role: str, timeout: timedelta, pool: int, scripts: Sequence[str] = ()) -> None:
        self._role = role
        self._timeout = timeout.total_seconds()
        self._loads: list[Command] = [("SCRIPT", "LOAD", script) for script in scripts]
        self._all = [_wire(url, self._timeout) for _ in range(pool)]
        # Last in, first out: as few connections are open as there are concurrent calls.
        self._idle: LifoQueue[_Wire] = LifoQueue()
        for wire in self._all:
            self._idle.put(wire)
        self.store, self.lane, self.size, self.beside = role, "calls", pool, 0
        self.server = urlsplit(url).netloc.rpartition("@")[2] or url
        pools.opened(self)

    def exchange(self, *commands: Command, again: bool) -> list[Any]:
        """Send the commands in one write and return their replies.

        A connection that died while idle is replaced without an error. When that shows only after sending,
        the commands are sent once more if `again` says that running them twice is harmless.
        """
        deadline = time.monotonic() + self._timeout
        with self._translated():
            replies = self._on_a_wire(commands, deadline, again=again)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                replies = self._on_a_wire([*self._loads, *commands], deadline, again=again)[len(self._loads) :]
            for reply in replies:
                if isinstance(reply, ResponseError):
                    raise reply
        return replies

    def ping(self) -> None:
        self.exchange(("PING",), again=True)

    def in_use(self) -> int:
        return self.size - self._idle.qsize()

    def room(self) -> pools.Room | None:
        """A server that keeps its settings to itself (a hosted one) is not asked again."""
        try:
            [found] = self.exchange(("CONFIG", "GET", "maxclients"), again=True)
        except Unavailable as refused:
            if isinstance(refused.__cause__, ResponseError):
                return None
            raise
        most = int(found[1])
        return pools.Room(most, f"maxclients is {most}")

    def close(self) -> None:
        for wire in self._all:
            wire.disconnect()

    def _on_a_wire(self, commands: Sequence[Command], deadline: float, *, again: bool) -> list[Any]:
        wire = self._free_wire(deadline)
        try:
            return self._converse(wire, commands, deadline, again=again)
        except BaseException:
            wire.disconnect()
            raise
        finally:
            self._idle.put(wire)

    def _free_wire(self, deadline: float) -> _Wire:
        with contextlib.suppress(Empty):
            return self._idle.get_nowait()
        began = time.monotonic()
        try:
            return self._idle.get(timeout=_left(deadline))
        except Empty:
            raise Unavailable(self._role, "every connection is busy") from None
        finally:
            meter.waited(self._role, time.monotonic() - began)

    def _converse(self, wire: _Wire, commands: Sequence[Command], deadline: float, *, again: bool) -> list[Any]:
        used = wire.is_connected
        if used and not again and _is_dead(wire):
            wire.disconnect()
        try:
            return self._talk(wire, commands, deadline)
        except ConnectionLost:
            if not (used and again):
                raise
        wire.disconnect()
        return self._talk(wire, commands, deadline)

    def _talk(self, wire: _Wire, commands: Sequence[Command], deadline: float) -> list[Any]:
        with meter.asked(self._role, _text(commands[0][0])):
            if not wire.is_connected:
                self._connect(wire, deadline)
            wire.send_packed_command(wire.pack_commands(commands), check_health=False)
            return [_reply(wire, deadline) for _ in commands]

    def _connect(self, wire: _Wire, deadline: float) -> None:
        wire.socket_connect_timeout = wire.socket_timeout = _left(deadline)
        wire.connect()
        wire.socket_timeout = self._timeout
        wire.update_current_socket_timeout(self._timeout)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Every refusal (LOADING, READONLY, OOM, BUSY) is an outage to the caller, as a lost server is."""
        try:
            yield
        except RedisError as error:
            raise Unavailable(self._role, str(error)) from error


class RedisBacked(Store):
    """The part of a port that is the same for everything in Redis, which has no schema."""

    _link: RedisLink

    def migrate(self, *, dry_run: bool = False) -> list[str]:  # noqa: ARG002  nothing to take, so nothing to spare
        return []

    def ping(self) -> None:
        self._link.ping()

    def close(self) -> None:
        self._link.close()


def _wire(url: str, timeout: float) -> _Wire:
    options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]  # redis-py has no annotation here
    kind = options.pop("connection_class", Connection)
    for option in _POOL_OPTIONS:
        options.pop(option, None)
    options |= {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "health_check_interval": 0,
        "decode_responses": False,
        # RESP2 without driver information: a new connection costs no round trips beyond AUTH and SELECT.
        "protocol": 2,
        "driver_info": None,
    }
    wire: _Wire = kind(**options)
    return wire


def _is_dead(wire: _Wire) -> bool:
    """Whether the server has closed it, or left something on it that nobody asked for."""
    try:
        return wire.can_read()
    except ConnectionLost:
        return True


def _reply(wire: _Wire, deadline: float) -> object:
    try:
        return wire.read_response(timeout=_left(deadline))
    except ResponseError as refusal:
        return refusal


def _text(name: str | bytes | int) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _left(deadline: float) -> float:
    """Seconds until the deadline; never zero, which would mean 'do not wait' to a socket."""
    return max(deadline - time.monotonic(), 0.001)
