"""Calls to one Redis server, over a bounded set of connections, with one deadline for each exchange.

redis-py's client is not used: it retries by itself, and limits each step of a call instead of the whole call.
"""

import contextlib
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError, ResponseError

from repositories import meter, pool_registry
from repositories.deadline import at_most
from repositories.errors import ReadOnly, Unavailable
from repositories.hot.redis.moving_scripts import MARK
from repositories.hot.redis.sentinel import Sentinels
from repositories.hot.redis.target import RedisTarget
from repositories.hot.redis.wire import Command, NotServing, Wire
from repositories.read_your_writes import HostState
from repositories.slow_statements import Explained, Statement

# Sent on each new connection and, along with commands, once a second: a former master answers reads with old data.
_ROLE: Command = ("INFO", "replication")
_PING: Command = ("SET", "quartet:ping", 1, "PX", 1000)
# Commands that need no greeting: a process sends them before the tables exist that a greeting reads.
_UNGREETED: tuple[Command, ...] = (_PING, ("GET", MARK))
_ROLE_SECONDS = 1.0
# The least time of a call, even after the request's deadline: what it has written must still be dropped from the cache.
_SHORTEST = 0.1
_HISTORY = re.compile(rb"master_replid:(\w+)")
Greet = Callable[[Wire, float], None]
# The share of a call's remaining time for asking Sentinels; the rest is for the master.
_SENTINEL_SHARE = 0.5
# A replica; a full store; a failing disk; too few replicas. In the error of a script the code does not come first.
_NO_WRITES = re.compile(r"(?:^|-)(?:READONLY|OOM|MISCONF|NOREPLICAS)\b")


class RedisLink:
    """Thread-safe. `role` is the name in its errors; `scripts` are loaded when the server lacks them.

    `greet` is called with each new connection and the deadline, before commands are sent on it.
    """

    def __init__(
        self,
        target: RedisTarget,
        *,
        role: str,
        timeout: timedelta,
        pool: int,
        scripts: Sequence[str] = (),
        greet: Greet | None = None,
    ) -> None:
        self._role = role
        self._timeout = timeout.total_seconds()
        self._greet = greet
        self._loads: list[Command] = [("SCRIPT", "LOAD", script) for script in scripts]
        self._sentinels = Sentinels(target, self._timeout) if target.sentinels else None
        self._place: tuple[str, int] | None = None
        # Increased each time a server is abandoned; connections of earlier eras are not used again.
        self._era = 0
        self._all = [Wire(target.scheme, target.options, self._timeout) for _ in range(pool)]
        # Last in, first out: as few connections are open as there are concurrent calls.
        self._idle = deque(self._all)
        self._returned = threading.Condition()
        self._waiting = 0
        self.store, self.lane, self.size, self.beside = role, "calls", pool, 0
        self.server = target.server
        pool_registry.opened(self)

    def exchange(self, *commands: Command, again: bool) -> list[Any]:
        """Send the commands in one write and return their replies.

        A connection that died while idle is replaced without an error. When that shows only after sending,
        the commands are sent once more if `again` says that running them twice is harmless. If the server refuses all
        of them because it is a replica, they are sent once more in any case, to the new master.
        """
        return self.exchange_until(deadline_of(self._timeout), commands, again=again)

    def exchange_until(self, deadline: float, commands: Sequence[Command], *, again: bool) -> list[Any]:
        """Like `exchange`, with a deadline of the monotonic clock."""
        try:
            replies = self._exchange_on_wire(commands, deadline, again=again)
            for reply in replies:
                if isinstance(reply, ResponseError):
                    if isinstance(reply, NoScriptError):
                        return self._with_scripts(commands, deadline, again=again)
                    raise reply
        except RedisError as error:
            # Every refusal (LOADING, READONLY, OOM, BUSY) is an outage to the caller, as a lost server is.
            kind = ReadOnly if isinstance(error, ResponseError) and _NO_WRITES.search(str(error)) else Unavailable
            raise kind(self._role, str(error)) from error
        return replies

    def ping(self) -> None:
        """Send a write: a replica, a full store, and one that lacks replicas or its disk still answer reads."""
        self.exchange(_PING, again=True)

    def hosts(self) -> list[HostState]:
        seen = any(wire.is_connected for wire in self._all)
        return [HostState(":".join(map(str, self._place or [self.server])), "primary" if seen else "not connected")]

    def in_use(self) -> int:
        return self.size - len(self._idle)

    def room(self) -> pool_registry.Room | None:
        """The limit is `maxclients`. None if the server does not show its settings, as hosted ones do not."""
        try:
            [found] = self.exchange(("CONFIG", "GET", "maxclients"), again=True)
        except Unavailable as refused:
            if isinstance(refused.__cause__, ResponseError):
                return None
            raise
        return pool_registry.Room(int(found[1]), f"maxclients is {_text(found[1])}")

    def close(self) -> None:
        for wire in self._all:
            wire.disconnect()
        if self._sentinels:
            self._sentinels.close()

    def _with_scripts(self, commands: Sequence[Command], deadline: float, *, again: bool) -> list[Any]:
        replies = self._exchange_on_wire([*self._loads, *commands], deadline, again=again)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies[len(self._loads) :]

    def _exchange_on_wire(self, commands: Sequence[Command], deadline: float, *, again: bool) -> list[Any]:
        try:
            wire = self._idle.pop()
        except IndexError:
            wire = self._wait_for_wire(deadline)
        try:
            return self._converse(wire, commands, deadline, again=again)
        except BaseException:
            wire.disconnect()
            raise
        finally:
            self._idle.append(wire)
            # A waiting thread is counted before its last look at the idle connections, so no notification is missed.
            if self._waiting:
                with self._returned:
                    self._returned.notify()

    def _wait_for_wire(self, deadline: float) -> Wire:
        """Wait for an idle connection. Another thread, which has not waited, may take it first."""
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

    def _converse(self, wire: Wire, commands: Sequence[Command], deadline: float, *, again: bool) -> list[Any]:
        if wire.era != self._era:
            wire.disconnect()
        used = wire.is_connected
        if used and not again and wire.is_dead():
            wire.disconnect()
        try:
            replies = self._talk(wire, commands, deadline, again=again)
        except NotServing:
            self._abandon_server(wire)
        except ConnectionLost:
            if not (used and again):
                raise
        else:
            refused = [isinstance(reply, NotServing) for reply in replies] if wire.refused else []
            if not any(refused):
                return replies
            self._abandon_server(wire)
            if not (again or all(refused)):
                return replies
        wire.disconnect()
        return self._talk(wire, commands, deadline, again=again)

    def _abandon_server(self, wire: Wire) -> None:
        """Abandon the server: every connection to it is replaced before its next use."""
        if wire.era == self._era:
            self._era += 1

    def _talk(self, wire: Wire, commands: Sequence[Command], deadline: float, *, again: bool) -> list[Any]:
        """Raises `NotServing` if the server says that it is not a master, or was not for a while."""
        with meter.asked(self._role, _text(commands[0][0]), 1, _slow(*[command[0] for command in commands])):
            now = time.monotonic()
            due = wire.is_connected and now - wire.asked >= _ROLE_SECONDS
            if due and self._sentinels:
                self._ask_sentinels(deadline)
                if wire.era != self._era:
                    wire.disconnect()
            if not wire.is_connected:
                self._connect(wire, deadline)
                due = False
            if self._greet is not None and not wire.greeted and commands[0] not in _UNGREETED:
                self._greet(wire, deadline)
                wire.greeted = True
            if not due:
                return wire.talk(commands, deadline)
            role, *replies = wire.talk([_ROLE, *commands], deadline)
            if _history(role) != wire.history:
                # It was a replica for a while. A new connection greets it again.
                if again:
                    raise NotServing("READONLY the server was a replica")
                self._abandon_server(wire)
            wire.asked = now
            return replies

    def _connect(self, wire: Wire, deadline: float) -> None:
        if self._sentinels:
            self._ask_sentinels(deadline)
        wire.era = self._era
        wire.connect(deadline, self._place)
        [role] = wire.talk([_ROLE], deadline)
        wire.asked, wire.history, wire.greeted = time.monotonic(), _history(role), self._greet is None

    def _ask_sentinels(self, deadline: float) -> None:
        """Ask the Sentinels for the master. If none answers, the last known master remains in use."""
        if self._sentinels is None:
            return
        try:
            place = self._sentinels.master(time.monotonic() + (deadline - time.monotonic()) * _SENTINEL_SHARE)
        except RedisError:
            if self._place is None:
                raise
            return
        if place != self._place:
            self._place = place
            self._era += 1


def deadline_of(seconds: float) -> float:
    """The deadline, by the monotonic clock, of a call that may take `seconds` and ends with its request."""
    return time.monotonic() + max(at_most(seconds), min(seconds, _SHORTEST))


def _history(role: Any) -> str:
    """The server's replication id, which changes with a restart or promotion; empty if it does not report one.

    Raises `NotServing` for a replica.
    """
    if isinstance(role, NotServing):
        raise role
    found = role if isinstance(role, bytes) else b""
    if b"role:slave" in found:
        raise NotServing("READONLY the server is a replica")
    named = _HISTORY.search(found)
    return named[1].decode() if named else ""


def _text(name: str | bytes | int) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


@lru_cache
def _slow(*names: str | bytes | int) -> Statement:
    """The statement to log: only the commands' names. Redis has no plans, and keys and values are confidential."""
    return Statement(names, lambda: Explained(" ".join(map(_text, names))))
