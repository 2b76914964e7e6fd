"""Leases and fills one key of the cache for callers that also work without it: an outage means no lease and no fill."""

from repositories.errors import Unavailable
from repositories.hot.port import Cache, Fill


def lease_of(cache: Cache, key: str, seen: bytes = b"") -> bytes | None:
    """A lease to load the key. None also when it is stored by now, or somebody else is loading it."""
    try:
        [answer] = cache.lease({key: seen})
    except Unavailable:
        return None
    return answer if isinstance(answer, bytes) else None


def stored_under(cache: Cache, key: str, fill: Fill) -> bool:
    """Whether it is stored."""
    try:
        return bool(cache.fill({key: fill}))
    except Unavailable:
        return False
