"""The cache in Redis: a value and a lease for each key, and one epoch for all."""

import struct
import time
import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from redis.exceptions import ResponseError

from repositories.hot.encoding import LARGEST, LEASE_SECONDS, new_token, spread, text_bytes, value_bytes, value_of
from repositories.hot.port import Cache, Fill, Held
from repositories.hot.redis import scripts
from repositories.hot.redis.link import RedisBacked, RedisLink
from repositories.hot.redis.near import Near
from repositories.hot.redis.wire import Command, Wire

# The number is the schema of what is stored.
_EPOCH = b"quartet:5:epoch"
_READ_LEASES = b"quartet:5:read-leases"
_SERVER = b"quartet:5:server"
_EPOCH_BYTES = 8
# Due, stored, lengths of the parts and the record.
_HEAD = struct.Struct("<16xddII")
_PART = struct.Struct("<II")
_STAMP_BYTES = 16
_CLOCK_SECONDS = 5.0


class RedisCache(RedisBacked, Cache):
    """Pattern: cache-aside with leases, and a near cache of whole pages (`near.py`).

    One node: scripts take keys of several hash slots. What another process of the server has stored counts as not
    there, since a replica that is promoted may have missed a drop. What is due is decided by the server's clock, of
    which each client keeps a copy.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta,
        pool: int,
        lease: float = LEASE_SECONDS,
        near: Near | None = None,
    ) -> None:
        self._link = RedisLink(url, role="cache", timeout=timeout, pool=pool, scripts=scripts.ALL, greet=_greet)
        self._lease = lease
        self._clock = _ServerClock()
        self._epoch = b""
        self._near = near or Near()

    def read(self, keys: Sequence[str]) -> list[Held | None]:
        if not keys:
            return []
        epoch, *raws = self._timed(("MGET", _EPOCH, *(_value(key) for key in keys)))
        self._epoch = epoch or b""
        now = self._clock.now()
        return [_held(raw, now) if raw is not None and raw[:_EPOCH_BYTES] == epoch else None for raw in raws]

    def whole(self, key: str, *, exact: bool = False) -> Held | None:
        if exact:
            return self._whole(key, read_lease=False)
        return self._near.get(key, lambda read_lease: self._whole(key, read_lease=read_lease))

    def lease(self, seen: Mapping[str, bytes]) -> list[Held | bytes | None]:
        if not seen:
            return []
        arguments: list[bytes | int | str] = [new_token(), repr(self._lease), new_token(), *seen.values()]
        epoch, answers = self._timed(_script(scripts.LEASE, [_EPOCH, *_names(seen)], arguments))
        self._epoch = epoch
        return [self._leased(answer) for answer in answers]

    def fill(self, fills: Mapping[str, Fill]) -> set[str]:
        records = {key: value_bytes(fill.value) for key, fill in fills.items()}
        fitting = {key: fill for key, fill in fills.items() if len(records[key]) <= LARGEST}
        self.release({key: fill.lease for key, fill in fills.items() if key not in fitting})
        if not fitting:
            return set()
        self._near.forget()
        arguments: list[bytes | int | str] = []
        for key, fill in fitting.items():
            fresh = spread(fill.fresh)
            arguments += (fill.lease, repr(fresh), max(int((fresh + fill.stale) * 1000), 1), _parts(fill), records[key])
        stored = self._run(scripts.FILL, [_EPOCH, *_names(fitting)], arguments)
        return {key for key, done in zip(fitting, stored, strict=True) if done}

    def release(self, leases: Mapping[str, bytes]) -> None:
        if leases:
            self._run(scripts.RELEASE, [_lease(key) for key in leases], list(leases.values()))

    def drop(self, keys: Collection[str]) -> None:
        if keys and self._run(scripts.DROP, [_READ_LEASES, *_names(keys)], [_slot(_value(key)) for key in keys]):
            self._near.outwait()

    def extend(self, keys: Collection[str], more: bytes, *, most: int) -> None:
        if keys:
            self._run(scripts.EXTEND, [_EPOCH, *_names(keys)], (more, most, new_token()))

    def void(self, *, unless_done: bool = False) -> None:
        self._run(scripts.VOID, [_EPOCH], (self._epoch if unless_done else b"", new_token()))
        self._near.outwait()

    def outwait(self) -> None:
        self._near.outwait()

    def _whole(self, key: str, *, read_lease: bool) -> Held | None:
        name = _value(key)
        names, arguments = ([_EPOCH, name, _READ_LEASES], [_slot(name)]) if read_lease else ([_EPOCH, name], [])
        raw = self._timed(_script(scripts.WHOLE, names, arguments))
        return None if raw is None else _held(raw, self._clock.now())

    def _leased(self, answer: bytes | list[bytes] | int) -> Held | bytes | None:
        if isinstance(answer, bytes):
            return _held(answer, self._clock.now())
        return answer[0] if isinstance(answer, list) else None

    def _run(self, script: str, names: Sequence[bytes], arguments: Sequence[bytes | int | str]) -> Any:
        """Every script may run twice: what the first run has done, the second leaves so."""
        [reply] = self._link.exchange(_script(script, names, arguments), again=True)
        return reply

    def _timed(self, command: Command) -> Any:
        """Its reply. The server's time is asked for in the same round trip when it has not been for a while."""
        asked: list[Command] = [("TIME",)] if self._clock.is_old() else []
        [reply, *time_] = self._link.exchange(command, *asked, again=True)
        self._clock.set(*time_)
        return reply


def _greet(wire: Wire, deadline: float) -> None:
    [reply] = wire.talk([("EVAL", scripts.GREET, 2, _EPOCH, _SERVER)], deadline)
    if isinstance(reply, ResponseError):
        raise reply


class _ServerClock:
    """The server's time, read now and then and carried on by this machine's monotonic clock."""

    def __init__(self) -> None:
        self._known = (0.0, -_CLOCK_SECONDS)

    def is_old(self) -> bool:
        return time.monotonic() - self._known[1] >= _CLOCK_SECONDS

    def set(self, reply: Sequence[bytes] = ()) -> None:
        if reply:
            self._known = (int(reply[0]) + int(reply[1]) / 1e6, time.monotonic())

    def now(self) -> float:
        server, mine = self._known
        return server + time.monotonic() - mine


def _held(raw: bytes, now: float) -> Held | None:
    if len(raw) < _HEAD.size:
        return None
    due, stored, parts, record = _HEAD.unpack_from(raw)
    at = _HEAD.size + parts
    value = value_of(memoryview(raw)[at : at + record])
    if value is None:
        return None
    return Held(value, due - now, raw[:_STAMP_BYTES], max(now - stored, 0.0), raw[at + record :])


def _parts(fill: Fill) -> bytes:
    """As the scripts read them. A stamp that this store never gave matches nothing."""
    names = {_value(key): stamp for key, stamp in fill.parts.items()}
    return b"".join(
        _PART.pack(_slot(name), len(name)) + name + stamp.ljust(_STAMP_BYTES)[:_STAMP_BYTES]
        for name, stamp in names.items()
    )


def _script(script: str, names: Sequence[bytes], arguments: Sequence[bytes | int | str]) -> Command:
    return ("EVALSHA", scripts.SHA[script], len(names), *names, *arguments)


def _names(keys: Collection[str]) -> list[bytes]:
    return [name for key in keys for name in (_value(key), _lease(key))]


def _value(key: str) -> bytes:
    return b"quartet:5:v:" + text_bytes(key)


def _slot(name: bytes) -> int:
    return zlib.crc32(name) % scripts.SLOTS


def _lease(key: str) -> bytes:
    return b"quartet:5:l:" + text_bytes(key)
