"""Asks Sentinels where the master is."""

import threading
import time
from typing import Any

from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError, ResponseError

from repositories.hot.redis.target import RedisTarget
from repositories.hot.redis.wire import Wire

_DOWN = {b"s_down", b"o_down", b"disconnected"}


class Sentinels:
    """Thread-safe. The Sentinel that answered last is asked first.

    An answer with an older configuration epoch, which every failover increases, is rejected.
    """

    def __init__(self, target: RedisTarget, seconds: float) -> None:
        self._name = target.master
        self._wires = [Wire(target.scheme, options, seconds) for options in target.sentinels]
        self._guard = threading.Lock()
        self._epoch = 0

    def master(self, deadline: float) -> tuple[str, int]:
        """Host and port. Divides the remaining time among the Sentinels not asked yet. Raises `RedisError`."""
        if not self._guard.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise ConnectionLost("the Sentinels are being asked")
        try:
            return self._found(deadline)
        finally:
            self._guard.release()

    def close(self) -> None:
        for wire in self._wires:
            wire.disconnect()

    def _found(self, deadline: float) -> tuple[str, int]:
        reasons = []
        for left, wire in zip(range(len(self._wires), 0, -1), list(self._wires), strict=True):
            now = time.monotonic()
            try:
                place = self._answer(wire, now + max(deadline - now, 0) / left)
            except RedisError as error:
                wire.disconnect()
                reasons.append(str(error))
            else:
                self._wires.remove(wire)
                self._wires.insert(0, wire)
                return place
        raise ConnectionLost(f"no Sentinel knows the master: {'; '.join(reasons)}")

    def _answer(self, wire: Wire, deadline: float) -> tuple[str, int]:
        if wire.is_connected and wire.is_dead():
            wire.disconnect()
        if not wire.is_connected:
            wire.connect(deadline)
        [reply] = wire.talk([("SENTINEL", "MASTER", self._name)], deadline)
        if isinstance(reply, ResponseError):
            raise reply
        return self._place(dict(zip(reply[::2], reply[1::2], strict=True)))

    def _place(self, found: dict[bytes, Any]) -> tuple[str, int]:
        epoch, flags = int(found[b"config-epoch"]), set(found[b"flags"].split(b","))
        if flags & _DOWN:
            raise ConnectionLost("the master is down")
        if epoch < self._epoch:
            raise ConnectionLost("a Sentinel is behind the others")
        self._epoch = epoch
        return found[b"ip"].decode(), int(found[b"port"])
