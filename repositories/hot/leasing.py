"""Leases and fills one key of the cache for callers that also work without it: an outage means no lease and no fill."""

from repositories.errors import Unavailable
from repositories.hot.port import Cache, Fill


def lease_of(cache: Cache, key: str, seen: bytes = b"") -> bytes | None:
    """A lease to load the key. None if another value has been stored, if somebody else loads it, or in an outage."""
    try:
        [answer] = cache.lease({key: seen})
    except Unavailable:
        return None
    return answer if isinstance(answer, bytes) else None


def stored_under(cache: Cache, key: str, fill: Fill) -> bool:
    """Store the value under its lease. False if it was not stored, also in an outage."""
    try:
        return bool(cache.fill({key: fill}))
    except Unavailable:
        return False
