"""The way to one Redis server: a bounded set of connections, and a deadline on every exchange.

redis-py's client is left out: it retries by itself and has a time limit for each step in place of one for the call.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError, ResponseError

from repositories import meter, pools
from repositories.errors import Unavailable
from repositories.hot.redis.target import target_of
from repositories.hot.redis.wire import Command, Wire
from repositories.store import Store


class RedisLink:
    """Thread-safe. `role` is the name its errors carry; `scripts` are loaded when the server lacks them.

    `greeting` is the first command on each new connection.
    """

    def __init__(
        self,
        url: str,
        *,
        role: str,
        timeout: timedelta,
        pool: int,
        scripts: Sequence[str] = (),
        greeting: Command | None = None,
    ) -> None:
        self._role = role
        self._timeout = timeout.total_seconds()
        self._greeting = greeting
        self._loads: list[Command] = [("SCRIPT", "LOAD", script) for script in scripts]
        self._all = [Wire(url, self._timeout) for _ in range(pool)]
        # Last in, first out: as few connections are open as there are concurrent calls.
        self._idle = deque(self._all)
        self._returned = threading.Condition()
        self._waiting = 0
        self.store, self.lane, self.size, self.beside = role, "calls", pool, 0
        self.server = target_of(url)[0].server
        pools.opened(self)

    def exchange(self, *commands: Command, again: bool) -> list[Any]:
        """Send the commands in one write and return their replies.

        A connection that died while idle is replaced without an error. When that shows only after sending,
        the commands are sent once more if `again` says that running them twice is harmless.
        """
        deadline = time.monotonic() + self._timeout
        try:
            replies = self._on_a_wire(commands, deadline, again=again)
            for reply in replies:
                if isinstance(reply, NoScriptError):
                    return self._with_scripts(commands, deadline, again=again)
                if isinstance(reply, ResponseError):
                    raise reply
        except RedisError as error:
            # Every refusal (LOADING, READONLY, OOM, BUSY) is an outage to the caller, as a lost server is.
            raise Unavailable(self._role, str(error)) from error
        return replies

    def ping(self) -> None:
        self.exchange(("PING",), again=True)

    def in_use(self) -> int:
        return self.size - len(self._idle)

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

    def _with_scripts(self, commands: Sequence[Command], deadline: float, *, again: bool) -> list[Any]:
        replies = self._on_a_wire([*self._loads, *commands], deadline, again=again)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies[len(self._loads) :]

    def _on_a_wire(self, commands: Sequence[Command], deadline: float, *, again: bool) -> list[Any]:
        try:
            wire = self._idle.pop()
        except IndexError:
            wire = self._awaited(deadline)
        try:
            return self._converse(wire, commands, deadline, again=again)
        except BaseException:
            wire.disconnect()
            raise
        finally:
            self._idle.append(wire)
            # Whoever waits has said so before looking for the last time, so nobody is missed.
            if self._waiting:
                self._tell_who_waits()

    def _awaited(self, deadline: float) -> Wire:
        """One that is given back goes to whoever takes it first, who may not have waited."""
        began = time.monotonic()
        with self._returned:
            self._waiting += 1
            try:
                while self._idle or self._returned.wait(deadline - time.monotonic()):
                    with contextlib.suppress(IndexError):
                        return self._idle.pop()
            finally:
                self._waiting -= 1
                meter.waited(self._role, time.monotonic() - began)
        raise Unavailable(self._role, "every connection is busy")

    def _tell_who_waits(self) -> None:
        with self._returned:
            self._returned.notify()

    def _converse(self, wire: Wire, commands: Sequence[Command], deadline: float, *, again: bool) -> list[Any]:
        used = wire.is_connected
        if used and not again and wire.is_dead():
            wire.disconnect()
        try:
            return self._talk(wire, commands, deadline)
        except ConnectionLost:
            if not (used and again):
                raise
        wire.disconnect()
        return self._talk(wire, commands, deadline)

    def _talk(self, wire: Wire, commands: Sequence[Command], deadline: float) -> list[Any]:
        with meter.asked(self._role, _text(commands[0][0])):
            if not wire.is_connected:
                wire.connect(deadline)
                self._greet(wire, deadline)
            return wire.talk(commands, deadline)

    def _greet(self, wire: Wire, deadline: float) -> None:
        if self._greeting is None:
            return
        [reply] = wire.talk([self._greeting], deadline)
        if isinstance(reply, ResponseError):
            raise reply


class RedisBacked(Store):
    """The part of a port that is the same for everything in Redis, which has no schema."""

    _link: RedisLink

    def migrate(self, *, dry_run: bool = False) -> list[str]:  # noqa: ARG002  nothing to take, so nothing to spare
        return []

    def ping(self) -> None:
        self._link.ping()

    def close(self) -> None:
        self._link.close()


def _text(name: str | bytes | int) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
