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

# Asked on each new connection and, along with its commands, each second: a replica answers reads, with what it has.
_ROLE: Command = ("INFO", "replication")
_PING: Command = ("SET", "quartet:ping", 1, "PX", 1000)
# What a process asks before there are tables to greet with.
_FIRST: tuple[Command, ...] = (_PING, ("GET", MARK))
_ROLE_SECONDS = 1.0
# Also when the time of a request is over: what it has written makes something old in the cache.
_SHORTEST = 0.1
_HISTORY = re.compile(rb"master_replid:(\w+)")
Greet = Callable[[Wire, float], None]
# Of the time that a call has left; the rest is for the master.
_SENTINEL_SHARE = 0.5
# A replica; a full store; a failing disk; too few replicas. The last of a script's words may be any of them.
_NO_WRITES = re.compile(r"(?:^|-)(?:READONLY|OOM|MISCONF|NOREPLICAS)\b")


class RedisLink:
    """Thread-safe. `role` is the name its errors carry; `scripts` are loaded when the server lacks them.

    `greet` is called with each new connection and the deadline, before anything else is asked of it.
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
        # One more each time a server was left; what was connected before is not used again.
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
        the commands are sent once more if `again` says that running them twice is harmless. What a server refuses
        because it is a replica is sent once more in any case, to the one that is the master by then.
        """
        return self.exchange_until(deadline_of(self._timeout), commands, again=again)

    def exchange_until(self, deadline: float, commands: Sequence[Command], *, again: bool) -> list[Any]:
        """As `exchange`, by this moment of the monotonic clock."""
        try:
            replies = self._on_a_wire(commands, deadline, again=again)
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
        """By a write: a replica, a full store and one that lacks replicas or its disk answer reads."""
        self.exchange(_PING, again=True)

    def hosts(self) -> list[HostState]:
        seen = any(wire.is_connected for wire in self._all)
        return [HostState(":".join(map(str, self._place or [self.server])), "primary" if seen else "not connected")]

    def in_use(self) -> int:
        return self.size - len(self._idle)

    def room(self) -> pool_registry.Room | None:
        """A server that keeps its settings to itself (a hosted one) is not asked again."""
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
                with self._returned:
                    self._returned.notify()

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

    def _converse(self, wire: Wire, commands: Sequence[Command], deadline: float, *, again: bool) -> list[Any]:
        if wire.era != self._era:
            wire.disconnect()
        used = wire.is_connected
        if used and not again and wire.is_dead():
            wire.disconnect()
        try:
            replies = self._talk(wire, commands, deadline, again=again)
        except NotServing:
            self._leave(wire)
        except ConnectionLost:
            if not (used and again):
                raise
        else:
            refused = [isinstance(reply, NotServing) for reply in replies] if wire.refused else []
            if not any(refused):
                return replies
            self._leave(wire)
            if not (again or all(refused)):
                return replies
        wire.disconnect()
        return self._talk(wire, commands, deadline, again=again)

    def _leave(self, wire: Wire) -> None:
        """Whoever was connected to the same server connects anew."""
        if wire.era == self._era:
            self._era += 1

    def _talk(self, wire: Wire, commands: Sequence[Command], deadline: float, *, again: bool) -> list[Any]:
        """Raises `NotServing` where the server says that it is no master, or was none for a while."""
        with meter.asked(self._role, _text(commands[0][0]), 1, _slow(*[command[0] for command in commands])):
            now = time.monotonic()
            due = wire.is_connected and now - wire.asked >= _ROLE_SECONDS
            if due and self._sentinels:
                self._follow(deadline)
                if wire.era != self._era:
                    wire.disconnect()
            if not wire.is_connected:
                self._connect(wire, deadline)
                due = False
            if self._greet is not None and not wire.greeted and commands[0] not in _FIRST:
                self._greet(wire, deadline)
                wire.greeted = True
            if not due:
                return wire.talk(commands, deadline)
            role, *replies = wire.talk([_ROLE, *commands], deadline)
            if _history(role) != wire.history:
                # It was a replica for a while. Who connects anew greets it.
                if again:
                    raise NotServing("READONLY the server was a replica")
                self._leave(wire)
            wire.asked = now
            return replies

    def _connect(self, wire: Wire, deadline: float) -> None:
        if self._sentinels:
            self._follow(deadline)
        wire.era = self._era
        wire.connect(deadline, self._place)
        [role] = wire.talk([_ROLE], deadline)
        wire.asked, wire.history, wire.greeted = time.monotonic(), _history(role), self._greet is None

    def _follow(self, deadline: float) -> None:
        """Ask the Sentinels. While none answers, a master that was known is stayed with."""
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
    """When a call has to be done whose own deadline is in `seconds`, by the monotonic clock."""
    return time.monotonic() + max(at_most(seconds), min(seconds, _SHORTEST))


def _history(role: Any) -> str:
    """The name of what the server has done since it became a master; empty where it does not say. Raises `NotServing`
    for a replica.
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
    """Redis has no plans. Keys and values are nobody's to see."""
    return Statement(names, lambda: Explained(" ".join(map(_text, names))))
