"""Hot data: Redis, PostgreSQL, or SQLite as the embedded adapter. The URL's scheme decides."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from repositories.address import addressed
from repositories.hot.breaker import Breaker
from repositories.hot.leasing import lease_of, stored_under
from repositories.hot.limits_port import Limits, Rate, Verdict
from repositories.hot.port import Cache, Fill, Held, NotedEndings, SessionStore, Value
from repositories.hot.streams_port import LiveEvent, Streams
from repositories.hot.views_port import ViewBatch, ViewCounts

__all__ = [
    "Cache",
    "CacheStores",
    "Fill",
    "Held",
    "Limits",
    "LiveEvent",
    "Rate",
    "SessionStore",
    "Streams",
    "Value",
    "Verdict",
    "ViewBatch",
    "ViewCounts",
    "guarded",
    "lease_of",
    "open_cache",
    "open_cache_stores",
    "open_limits",
    "open_sessions",
    "open_streams",
    "open_views",
    "stored_under",
]


PAY_EVERY = 0.5  # seconds


@addressed("sessions")
def open_sessions(
    url: str, *, timeout: timedelta, pool: int, endings: NotedEndings | None = None, seen: bool = False
) -> SessionStore:
    """`redis://...` (append-only file, noeviction), `postgresql://...` or `sqlite:///...`.

    With `endings`, ended sessions stay ended even if Redis loses its last writes. With `seen`, `find` also returns the
    positions of the account's last writes.
    """
    if url.startswith("sqlite:"):
        from repositories.hot.embedded.sessions import EmbeddedSessions

        return EmbeddedSessions(url, seen=seen)
    if url.startswith("postgresql:"):
        from repositories.hot.postgres.sessions import PostgresSessions

        return PostgresSessions(url, timeout=timeout, pool=pool, seen=seen)
    from repositories.hot.redis.sessions import RedisSessions

    return RedisSessions(url, timeout=timeout, pool=pool, endings=endings, seen=seen)


class CacheStores(NamedTuple):
    """The cache and the other stores at its URL."""

    cache: Cache
    streams: Streams
    limits: Limits
    views: ViewCounts


@addressed("cache")
def open_cache_stores(url: str, *, timeout: timedelta, pool: int, viewers: int) -> CacheStores:
    """`redis://...`, `redis+cluster://...` (no persistence, LFU eviction), `postgresql://...` or `sqlite:///...`.

    Each store has `pool` connections, views have `viewers`. With PostgreSQL they all share `pool` connections, one of
    which listens for notifications.
    """
    if url.startswith("sqlite:"):
        from repositories.hot.embedded.cache import EmbeddedCache
        from repositories.hot.embedded.limits import EmbeddedLimits
        from repositories.hot.embedded.streams import EmbeddedStreams
        from repositories.hot.embedded.views import EmbeddedViewCounts

        return CacheStores(EmbeddedCache(url), EmbeddedStreams(url), EmbeddedLimits(url), EmbeddedViewCounts(url))
    if url.startswith("postgresql:"):
        from repositories.hot.postgres.cache import PostgresCache
        from repositories.hot.postgres.database import HotDatabase
        from repositories.hot.postgres.limits import PostgresLimits
        from repositories.hot.postgres.streams import PostgresStreams
        from repositories.hot.postgres.views import PostgresViewCounts

        shared = HotDatabase.of_cache(url, timeout=timeout, pool=max(1, pool - 1))
        return CacheStores(
            PostgresCache(shared), PostgresStreams(shared), PostgresLimits(shared), PostgresViewCounts(shared)
        )
    from repositories.hot.redis.cluster import is_cluster
    from repositories.hot.redis.limits import RedisLimits
    from repositories.hot.redis.streams import RedisStreams
    from repositories.hot.redis.views import RedisViewCounts

    cache: Cache
    if is_cluster(url):
        from repositories.hot.redis.cluster_cache import ClusterCache

        cache = ClusterCache(url, timeout=timeout, pool=pool)
    else:
        from repositories.hot.redis.cache import RedisCache

        cache = RedisCache(url, timeout=timeout, pool=pool)
    return CacheStores(
        cache,
        RedisStreams(url, timeout=timeout, pool=pool),
        RedisLimits(url, timeout=timeout, pool=pool),
        RedisViewCounts(url, timeout=timeout, pool=viewers),
    )


def guarded(cache: Cache, is_outdated: Callable[[], bool] = lambda: False) -> Cache:
    """Wrap the cache in a breaker: if it does not answer, it costs a few deadlines, then next to nothing.

    Nothing is filled while `is_outdated()`.
    """
    return Breaker(cache, pay_every=PAY_EVERY, is_outdated=is_outdated)


def open_cache(url: str, *, timeout: timedelta, pool: int) -> Cache:
    """Open the cache alone. Like the next three functions, for callers that need only one of the stores."""
    return open_cache_stores(url, timeout=timeout, pool=pool, viewers=pool).cache


def open_streams(url: str, *, timeout: timedelta, pool: int) -> Streams:
    return open_cache_stores(url, timeout=timeout, pool=pool, viewers=pool).streams


def open_limits(url: str, *, timeout: timedelta, pool: int) -> Limits:
    return open_cache_stores(url, timeout=timeout, pool=pool, viewers=pool).limits


def open_views(url: str, *, timeout: timedelta, pool: int) -> ViewCounts:
    return open_cache_stores(url, timeout=timeout, pool=pool, viewers=pool).views
