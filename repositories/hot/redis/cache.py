"""The cache in Redis: a value and a lease for each key, and one epoch for all."""

import struct
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from redis.exceptions import ResponseError

from repositories.hot.encoding import LARGEST, LEASE_SECONDS, fresh_of, new_token, text_bytes, value_bytes, value_of
from repositories.hot.port import Cache, Fill, Held
from repositories.hot.redis import cache_scripts as scripts
from repositories.hot.redis.cluster import Owns, link_to
from repositories.hot.redis.hash_tags import Argument, ServerClock, Shard, command_of
from repositories.hot.redis.moving_cache import RedisCachePlace
from repositories.hot.redis.read_leases import Near
from repositories.hot.redis.store import RedisStore
from repositories.hot.redis.wire import Command, Wire

_READ_LEASES = b"quartet:5:read-leases"
EPOCH_BYTES = 8
# Behind the stamp: when it is due, when it was stored, the lengths of the parts and of the record.
_HEAD = struct.Struct("<16xddII")
_PART = struct.Struct("<II")
_STAMP_BYTES = 16


class RedisCache(RedisStore, Cache):
    """Pattern: cache-aside with leases, and a near cache of whole pages (`read_leases.py`).

    For one node: scripts use keys of several hash slots (`cluster_cache.py` is for clusters). What another process of
    the server has stored counts as missing, since a promoted replica may have missed a drop. The server's clock, of
    which each client keeps a copy, decides what is due.
    """

    _scripts: Sequence[str] = scripts.ALL
    _fill = scripts.FILL
    _tags: Sequence[str] = ("",)

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta,
        pool: int,
        lease: float = LEASE_SECONDS,
        near: Near | None = None,
    ) -> None:
        self._link = link_to(url, role="cache", timeout=timeout, pool=pool, scripts=self._scripts, greet=self._greet)
        self._lease = lease
        self._shards = [Shard(tag) for tag in self._tags]
        self._near = near or Near()
        self.place = RedisCachePlace(self._link, self._shards, self.outwait)

    def read(self, keys: Sequence[str]) -> list[Held | None]:
        found: dict[str, Held | None] = {}
        for shard, some, raws in self._stored(keys):
            now = shard.clock.now()
            for key, raw in zip(some, raws, strict=True):
                found[key] = None if raw is None else held_of(raw, now)
        return [found[key] for key in keys]

    def whole(self, key: str, *, exact: bool = False) -> Held | None:
        if exact:
            return self._whole(key, read_lease=False)
        return self._near.get(key, lambda read_lease: self._whole(key, read_lease=read_lease))

    def whole_beside(
        self, key: str, keys: Sequence[str], *, exact: bool = False
    ) -> tuple[Held | None, list[Held | None]]:
        [shard] = self._shards
        beside: list[Held | None] = []

        def ask(read_lease: bool) -> Held | None:  # noqa: FBT001  as `Near.get` has it
            (epoch, *raws), raw = self._timed(
                [(shard, _values(shard, keys)), (shard, _whole(shard, key, read_lease=read_lease))]
            )
            now = shard.clock.now()
            beside[:] = [None if one is None else held_of(one, now) for one in _present(shard, epoch, raws)]
            return None if raw is None else held_of(raw, now)

        held = ask(False) if exact else self._near.get(key, ask)
        return held, beside or self.read(keys)

    def lease(self, seen: Mapping[str, bytes]) -> list[Held | bytes | None]:
        groups = self._by_shard(seen)
        commands = [
            (
                shard,
                shard.script(
                    scripts.LEASE, some, [new_token(), repr(self._lease), new_token(), *(seen[key] for key in some)]
                ),
            )
            for shard, some in groups
        ]
        found: dict[str, Held | bytes | None] = {}
        for (shard, some), (epoch, answers) in zip(groups, self._timed(commands), strict=True):
            shard.epoch = epoch
            found |= zip(some, (_leased(answer, shard.clock) for answer in answers), strict=True)
        return [found[key] for key in seen]

    def fill(self, fills: Mapping[str, Fill]) -> set[str]:
        records = {key: value_bytes(fill.value) for key, fill in fills.items()}
        fitting = {key: fill for key, fill in fills.items() if len(records[key]) <= LARGEST and self._is_made_of(fill)}
        self.release({key: fill.lease for key, fill in fills.items() if key not in fitting})
        self._near.forget()
        groups = self._by_shard(fitting)
        replies = self._run(
            [shard.script(self._fill, some, self._filling(fitting, records, some)) for shard, some in groups]
        )
        return {
            key
            for (_, some), stored in zip(groups, replies, strict=True)
            for key, done in zip(some, stored, strict=True)
            if done
        }

    def release(self, leases: Mapping[str, bytes]) -> None:
        self._run(
            [
                command_of(scripts.RELEASE, [shard.lease(key) for key in some], [leases[key] for key in some])
                for shard, some in self._by_shard(leases)
            ]
        )

    def drop(self, keys: Collection[str]) -> None:
        [shard] = self._shards
        slots = [_slot(shard.value(key)) for key in keys]
        if any(self._run([command_of(scripts.DROP, [_READ_LEASES, *shard.names(keys)], slots)] if keys else [])):
            self._near.outwait()

    def extend(self, keys: Collection[str], more: bytes, *, most: int) -> None:
        groups = self._by_shard(keys)
        self._run([shard.script(scripts.EXTEND, some, (more, most, new_token())) for shard, some in groups])

    def void(self, *, unless_done: bool = False) -> None:
        self._run(
            [
                shard.script(scripts.VOID, (), (shard.epoch if unless_done else b"", new_token()))
                for shard in self._shards
            ]
        )
        self.outwait()

    def outwait(self) -> None:
        self._near.outwait()

    def _whole(self, key: str, *, read_lease: bool) -> Held | None:
        [shard] = self._shards
        [raw] = self._timed([(shard, _whole(shard, key, read_lease=read_lease))])
        return None if raw is None else held_of(raw, shard.clock.now())

    def _is_made_of(self, fill: Fill) -> bool:  # noqa: ARG002  the script compares
        """Whether each of its parts is stored with that stamp. Always true here, since the script checks it."""
        return True

    def _filling(self, fills: Mapping[str, Fill], records: Mapping[str, bytes], keys: Sequence[str]) -> list[Argument]:
        arguments: list[Argument] = []
        for key in keys:
            fill, fresh = fills[key], max(fresh_of(fills[key]), 0.0)
            # The copy of the server's clock is ahead of it only by drift, or after that clock was set back.
            latest = "" if fill.since is None else repr(self._shard(key).clock.now() + fresh)
            parts = {self._shard(part).value(part): stamp for part, stamp in fill.parts.items()}
            lasts = max(int((fresh + fill.stale) * 1000), 1)
            arguments += (fill.lease, repr(fresh), lasts, _parts(parts), records[key], latest)
        return arguments

    def _stored(self, keys: Sequence[str]) -> Iterator[tuple[Shard, list[str], list[bytes | None]]]:
        """The stored values of the keys in the current epoch, by shard."""
        groups = self._by_shard(keys)
        reads = [(shard, _values(shard, some)) for shard, some in groups]
        for (shard, some), (epoch, *raws) in zip(groups, self._timed(reads), strict=True):
            yield shard, some, _present(shard, epoch, raws)

    def _shard(self, key: str) -> Shard:
        if len(self._shards) == 1:
            return self._shards[0]
        return self._shards[zlib.crc32(text_bytes(key)) % len(self._shards)]

    def _by_shard(self, keys: Collection[str]) -> list[tuple[Shard, list[str]]]:
        if len(self._shards) == 1:
            return [(self._shards[0], list(keys))] if keys else []
        groups: dict[Shard, list[str]] = {}
        for key in keys:
            groups.setdefault(self._shard(key), []).append(key)
        return list(groups.items())

    def _run(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands, which may be sent twice. `EXTEND` adds again then, so readers of `Held.more` must accept that.
        `VOID` voids again. The others change nothing.
        """
        return self._link.exchange(*commands, again=True) if commands else []

    def _timed(self, commands: Sequence[tuple[Shard, Command]]) -> list[Any]:
        """Run commands and return the replies. Reads a server's time along with them if the copy of it is old."""
        old = [shard for shard in {shard: None for shard, _ in commands} if shard.clock.is_old()]
        replies = self._run([*[command for _, command in commands], *map(self._time, old)])
        for shard, time_ in zip(old, replies[len(commands) :], strict=True):
            shard.clock.set(time_)
        return replies[: len(commands)]

    def _time(self, _shard: Shard) -> Command:
        return ("TIME",)

    def _greet(self, owns: Owns, wire: Wire, deadline: float) -> None:
        shards = [shard for shard in self._shards if owns(shard.epoch_name)]
        greetings = [("EVAL", scripts.GREET, 2, shard.epoch_name, shard.server_name) for shard in shards]
        for reply in wire.talk(greetings, deadline):
            if isinstance(reply, ResponseError):
                raise reply


def _whole(shard: Shard, key: str, *, read_lease: bool) -> Command:
    name = shard.value(key)
    if read_lease:
        return command_of(scripts.WHOLE, [shard.epoch_name, name, _READ_LEASES], [_slot(name)])
    return command_of(scripts.WHOLE, [shard.epoch_name, name], [])


def _values(shard: Shard, keys: Sequence[str]) -> Command:
    return ("MGET", shard.epoch_name, *map(shard.value, keys))


def _present(shard: Shard, epoch: bytes | None, raws: Sequence[bytes | None]) -> list[bytes | None]:
    """The values of the current epoch, with None for the others."""
    shard.epoch = epoch or b""
    return [raw if raw is not None and raw[:EPOCH_BYTES] == epoch else None for raw in raws]


def held_of(raw: bytes, now: float) -> Held | None:
    if len(raw) < _HEAD.size:
        return None
    due, stored, parts, record = _HEAD.unpack_from(raw)
    at = _HEAD.size + parts
    value = value_of(memoryview(raw)[at : at + record])
    if value is None:
        return None
    return Held(value, due - now, raw[:_STAMP_BYTES], max(now - stored, 0.0), raw[at + record :])


def _leased(answer: bytes | list[bytes] | int, clock: ServerClock) -> Held | bytes | None:
    if isinstance(answer, bytes):
        return held_of(answer, clock.now())
    return answer[0] if isinstance(answer, list) else None


def _parts(stamps: Mapping[bytes, bytes]) -> bytes:
    """The parts, by name, in the form that the scripts read. A stamp that is not from this store matches nothing."""
    return b"".join(
        _PART.pack(_slot(name), len(name)) + name + stamp.ljust(_STAMP_BYTES)[:_STAMP_BYTES]
        for name, stamp in stamps.items()
    )


def parts_of(raw: bytes) -> list[tuple[bytes, bytes]]:
    """The names and stamps of the parts of a stored value."""
    at, found = _HEAD.size, []
    end = at + _HEAD.unpack_from(raw)[2]
    while at < end:
        name = at + _PART.size
        stamp = name + _PART.unpack_from(raw, at)[1]
        at = stamp + _STAMP_BYTES
        found.append((raw[name:stamp], raw[stamp:at]))
    return found


def _slot(name: bytes) -> int:
    return zlib.crc32(name) % scripts.SLOTS
