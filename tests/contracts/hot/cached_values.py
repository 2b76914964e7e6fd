"""Reads and fills of single values in a cache, for tests."""

from collections.abc import Sequence
from datetime import timedelta

from repositories.hot import Cache, Fill, Held, Value

TIMEOUT = timedelta(seconds=5)
# In place of a value that is not cached.
MISSING = Held(Value(None), 1.0, b"")


def read(cache: Cache, key: str) -> Held | None:
    [held] = cache.read([key])
    return held


def body(cache: Cache, key: str) -> bytes | None:
    held = read(cache, key)
    return held.value.body if held else None


def bodies(cache: Cache, keys: Sequence[str]) -> list[bytes | None]:
    return [held.value.body if held else None for held in cache.read(keys)]


def lease(cache: Cache, key: str, seen: bytes = b"") -> bytes:
    [mine] = cache.lease({key: seen})
    assert isinstance(mine, bytes)
    return mine


def put(cache: Cache, key: str, mine: bytes, what: bytes, *, fresh: float = 60, stale: float = 0) -> set[str]:
    return cache.fill({key: Fill(mine, Value(what), fresh, stale)})


def store(cache: Cache, key: str, what: bytes, *, fresh: float = 60, stale: float = 0) -> None:
    assert put(cache, key, lease(cache, key), what, fresh=fresh, stale=stale) == {key}
