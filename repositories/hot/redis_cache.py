"""The cache in Redis: a value and a permit for each key, side by side in one hash slot."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from repositories.hot.encoding import PERMIT_SECONDS, new_permit, spread, text_bytes
from repositories.hot.port import Cache, Slot
from repositories.hot.redis_link import Command, RedisLink

_FILL = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[1])
return 1
"""
_FILL_SHA = hashlib.sha1(_FILL.encode()).hexdigest()  # noqa: S324  Redis names scripts so
_PERMIT_MS = int(PERMIT_SECONDS * 1000)


class RedisCache(Cache):
    """Pattern: cache-aside with leases. Who misses together shares one permit; the first to fill wins."""

    def __init__(self, url: str, *, timeout: timedelta, pool: int) -> None:
        self._link = RedisLink(url, role="cache", timeout=timeout, pool=pool, scripts=(_FILL,))

    def read(self, keys: Sequence[str]) -> list[Slot]:
        if not keys:
            return []
        [values] = self._link.exchange(("MGET", *(_value(key) for key in keys)), again=True)
        missed = list(dict.fromkeys(key for key, value in zip(keys, values, strict=True) if value is None))
        permits = self._permits(missed)
        return [
            Slot(value, permits.get(key) if value is None else None) for key, value in zip(keys, values, strict=True)
        ]

    def fill(self, values: Mapping[str, tuple[str, bytes]], *, seconds: int) -> None:
        if values:
            self._link.exchange(*(_fill(key, *entry, seconds) for key, entry in values.items()), again=True)

    def drop(self, keys: Collection[str]) -> None:
        if keys:
            names = [name for key in keys for name in (_value(key), _permit(key))]
            self._link.exchange(("DEL", *names), again=True)

    def migrate(self, *, dry_run: bool = False) -> list[str]:  # noqa: ARG002  Redis has no schema
        return []

    def ping(self) -> None:
        self._link.ping()

    def close(self) -> None:
        self._link.close()

    def _permits(self, keys: Sequence[str]) -> dict[str, str | None]:
        """The permit in force of each key, which is a new one where there was none."""
        if not keys:
            return {}
        new, names = new_permit(), [_permit(key) for key in keys]
        sets: list[Command] = [("SET", name, new, "NX", "PX", _PERMIT_MS) for name in names]
        replies = self._link.exchange(*sets, ("MGET", *names), again=True)
        return {key: raw and raw.decode() for key, raw in zip(keys, replies[-1], strict=True)}


def _fill(key: str, permit: str, value: bytes, seconds: int) -> Command:
    life = max(int(spread(seconds) * 1000), 1)
    return ("EVALSHA", _FILL_SHA, 2, _permit(key), _value(key), text_bytes(permit), value, life)


# The number is the schema of what is stored. The braces make both names one hash slot; the sign
# keeps what is between them from being empty, which Redis would not take for a hash tag.
def _value(key: str) -> bytes:
    return b"quartet:1:v:{=" + text_bytes(key) + b"}"


def _permit(key: str) -> bytes:
    return b"quartet:1:p:{=" + text_bytes(key) + b"}"
