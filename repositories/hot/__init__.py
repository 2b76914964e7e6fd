"""Hot data: Redis, or SQLite as the embedded twin. The URL's scheme decides."""

from datetime import timedelta

from repositories.hot.port import Cache, Sessions, Slot

__all__ = ["Cache", "Sessions", "Slot", "open_cache", "open_sessions"]


def open_sessions(url: str, *, timeout: timedelta, pool: int) -> Sessions:
    """`redis://...` (append-only file, noeviction) or `sqlite:///...`."""
    if url.startswith("sqlite:"):
        from repositories.hot.embedded import EmbeddedSessions

        return EmbeddedSessions(url)
    from repositories.hot.redis_sessions import RedisSessions

    return RedisSessions(url, timeout=timeout, pool=pool)


def open_cache(url: str, *, timeout: timedelta, pool: int) -> Cache:
    """`redis://...` (no persistence, LFU eviction) or `sqlite:///...`."""
    if url.startswith("sqlite:"):
        from repositories.hot.embedded import EmbeddedCache

        return EmbeddedCache(url)
    from repositories.hot.redis_cache import RedisCache

    return RedisCache(url, timeout=timeout, pool=pool)
