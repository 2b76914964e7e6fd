"""Calls to a Redis Cluster: each command goes to the master that has the slot of its first key.

The keys of one command must have the same hash tag. A cache spreads its keys over `TAGS`.
"""

import functools
import re
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError

from repositories.errors import Unavailable
from repositories.hot.redis.link import RedisLink, deadline_of
from repositories.hot.redis.store import RedisClient
from repositories.hot.redis.target import RedisTarget, target_of
from repositories.hot.redis.wire import Command, Wire
from repositories.read_your_writes import HostState

# At most this many masters share the work.
TAGS = tuple(f"{{{number}}}" for number in range(16))
_EVALUATED = {"EVALSHA", "EVAL"}
# Refusals that mean: nothing was done, and the map of the slots may have changed.
_ELSEWHERE = re.compile(r"(?:MOVED|TRYAGAIN|CLUSTERDOWN|READONLY|MASTERDOWN|LOADING)\b")
# The refusal of a node whose slot is being moved to the node that it names.
_ASK = re.compile(r"ASK \d+ (.*):(\d+)$")
_SLOTS: Command = ("CLUSTER", "SLOTS")
# The share of the remaining time for each node that is asked for the map.
_SHARE = 0.3
Owns = Callable[[bytes], bool]
Greet = Callable[[Owns, Wire, float], None]


class Place(NamedTuple):
    host: str
    port: int


Ask = Callable[[Place, Sequence[Command]], list[Any]]


class Slots(NamedTuple):
    """The map of the slots: `places[i]` has those from `starts[i]` on."""

    starts: list[int]
    places: list[Place]

    def place(self, key: bytes) -> Place:
        return self.places[bisect_right(self.starts, key_slot(key)) - 1]


def link_to(
    url: str, *, role: str, timeout: timedelta, pool: int, scripts: Sequence[str] = (), greet: Greet | None = None
) -> RedisClient:
    """A link to one server, to the master that Sentinels name, or to a cluster. Raises `BadAddress`.

    `greet` is called for each new connection, with a function that says which keys its server has, the connection, and
    the deadline.
    """
    target = target_of(url)

    def connect(to: RedisTarget, owns: Owns) -> RedisLink:
        greeting = functools.partial(greet, owns) if greet else None
        return RedisLink(to, role=role, timeout=timeout, pool=pool, scripts=scripts, greet=greeting)

    return ClusterLink(target, connect, role, timeout) if target.nodes else connect(target, lambda _: True)


def is_cluster(url: str) -> bool:
    return bool(target_of(url).nodes)


class ClusterLink(RedisClient):
    """Thread-safe. Up to `pool` connections to each master. Nodes are asked one after the other, under one deadline."""

    def __init__(
        self, target: RedisTarget, connect: Callable[[RedisTarget, Owns], RedisLink], role: str, timeout: timedelta
    ) -> None:
        self._target, self._connect, self._role, self._timeout = target, connect, role, timeout
        self._guard, self._asking = threading.Lock(), threading.Lock()
        self._links: dict[Place, RedisLink] = {}
        self._known = [Place(node["host"], node["port"]) for node in target.nodes]
        self._slots: Slots | None = None
        # The map that was in use when a node last failed; it is read again before the next call.
        self._doubted: Slots | None = None
        self._last: Place | None = None

    def exchange(self, *commands: Command, again: bool) -> list[Any]:
        """The replies to the commands. Raises `Unavailable`, even if some nodes have answered.

        If a node does not answer, or refuses because a slot has moved, its commands are sent once more by a new map, if
        `again` allows it. A single command that was refused is sent once more in any case.
        """
        deadline = deadline_of(self._timeout.total_seconds())
        return self._spread(commands, deadline, functools.partial(self._exchange_with_node, deadline, again=again))

    def ping(self) -> None:
        """Write to the master of each tag."""
        self.exchange(*(("SET", f"quartet:ping:{tag}", 1, "PX", 1000) for tag in TAGS), again=True)

    def masters(self) -> list[Place]:
        return list(dict.fromkeys(self._current_slots(None, deadline_of(self._timeout.total_seconds())).places))

    def hosts(self) -> list[HostState]:
        slots = self._slots
        masters = set(slots.places) if slots else set()
        return [HostState(f"{host}:{port}", "primary") for host, port in sorted(masters)]

    def close(self) -> None:
        with self._guard:
            for link in self._links.values():
                link.close()

    def _spread(self, commands: Sequence[Command], deadline: float, ask: Ask) -> list[Any]:
        """Call `ask` for each node with its commands. Returns the replies in the order of the commands."""
        slots = self._slots
        if slots is None or slots is self._doubted:
            slots = self._current_slots(slots, deadline)
        groups: defaultdict[Place, list[int]] = defaultdict(list)
        for index, command in enumerate(commands):
            groups[slots.place(_key(command))].append(index)
        replies: list[Any] = [None] * len(commands)
        for place, at in groups.items():
            for index, reply in zip(at, ask(place, [commands[index] for index in at]), strict=True):
                replies[index] = reply
        return replies

    def _exchange_with_node(
        self, deadline: float, place: Place, commands: Sequence[Command], *, again: bool
    ) -> list[Any]:
        before = self._slots
        try:
            return self._link(place).exchange_until(deadline, commands, again=again)
        except Unavailable as error:
            refusal = str(error.__cause__) if isinstance(error.__cause__, ResponseError) else ""
            asked = _ASK.match(refusal)
            if refusal and not asked and not _ELSEWHERE.match(refusal):
                raise
            self._doubted, self._last = before, place
            if not (again or (refusal and len(commands) == 1)):
                raise
            if asked:
                return self._exchange_asking(Place(asked[1] or place.host, int(asked[2])), commands, deadline)
        return self._spread(
            commands, deadline, lambda other, some: self._link(other).exchange_until(deadline, some, again=again)
        )

    def _exchange_asking(self, place: Place, commands: Sequence[Command], deadline: float) -> list[Any]:
        """The replies of a node to which the slot is being moved."""
        asked = [one for command in commands for one in (("ASKING",), command)]
        return self._link(place).exchange_until(deadline, asked, again=False)[1::2]

    def _link(self, place: Place) -> RedisLink:
        with self._guard:
            if place not in self._links:
                target = RedisTarget(
                    self._target.scheme,
                    self._target.options | {"host": place.host, "port": place.port},
                    f"{place.host}:{place.port}",
                )
                self._links[place] = self._connect(target, functools.partial(self._has, place))
            return self._links[place]

    def _has(self, place: Place, key: bytes) -> bool:
        return self._slots is not None and self._slots.place(key) == place

    def _current_slots(self, before: Slots | None, deadline: float) -> Slots:
        """The map, read again unless another thread has replaced the map `before` since."""
        if not self._asking.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise Unavailable(self._role, "the cluster's map is being asked for")
        try:
            if self._slots is None or self._slots is before:
                self._slots = self._read_slots(deadline)
                self._known = [*dict.fromkeys([*self._slots.places, *self._known])]
            return self._slots
        finally:
            self._asking.release()

    def _read_slots(self, deadline: float) -> Slots:
        """The map, from the first node that returns it. The node that failed last is tried last."""
        reasons = []
        for place in sorted(self._known, key=lambda known: known == self._last):
            now = time.monotonic()
            try:
                return self._read_slots_of(place, now + max(deadline - now, 0) * _SHARE)
            except RedisError as error:
                reasons.append(str(error))
        raise Unavailable(self._role, f"no node tells of the cluster: {'; '.join(reasons)}")

    def _read_slots_of(self, place: Place, deadline: float) -> Slots:
        """The map as one node has it. Does not use a link, which refuses replicas: these return the map as well."""
        options = self._target.options | {"host": place.host, "port": place.port}
        wire = Wire(self._target.scheme, options, self._timeout.total_seconds())
        try:
            wire.connect(deadline)
            [reply] = wire.talk([_SLOTS], deadline)
        finally:
            wire.disconnect()
        if isinstance(reply, ResponseError):
            raise reply
        # A node that does not know its own address is at the one where it was asked.
        found = sorted(
            (first, Place(host.decode() if host else place.host, port)) for first, _, (host, port, *_), *_ in reply
        )
        if not found:
            raise ResponseError("no slot has a node")
        return Slots([first for first, _ in found], [master for _, master in found])


def masters_of(target: RedisTarget, role: str, timeout: timedelta) -> list[RedisTarget]:
    """The masters of a cluster. Raises `Unavailable`."""
    asked = ClusterLink(target, lambda to, _: RedisLink(to, role=role, timeout=timeout, pool=1), role, timeout)
    return [
        RedisTarget(target.scheme, target.options | place._asdict(), f"{place.host}:{place.port}")
        for place in asked.masters()
    ]


def _key(command: Command) -> bytes:
    name = command[3] if command[0] in _EVALUATED else command[1]
    return name if isinstance(name, bytes) else str(name).encode()
