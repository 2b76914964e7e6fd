"""The relational role: PostgreSQL, or SQLite as the embedded adapter. The URL's scheme decides."""

from collections.abc import Callable
from datetime import datetime, timedelta

from repositories.address import BadAddress, addressed
from repositories.relational.port import RelationalStore, Transaction

__all__ = ["RelationalStore", "Transaction", "open_store"]


@addressed("relational")
def open_store(
    url: str, *, timeout: timedelta, pool: int, replicas: str = "", clock: Callable[[], datetime] | None = None
) -> RelationalStore:
    """`postgresql://...` or `sqlite:///...`. The driver is imported, and connected, only when used.

    `replicas` lists standbys as hosts or URLs; a `BadAddress` for one names the setting `relational_replicas`. `clock`
    replaces SQLite's clock in tests; PostgreSQL uses its own.
    """
    if url.startswith("sqlite:"):
        if replicas:
            raise BadAddress("an embedded store has no replicas", setting="relational_replicas")
        from repositories.relational.embedded.store import EmbeddedRelational

        return EmbeddedRelational(url, clock) if clock else EmbeddedRelational(url)
    from repositories.relational.postgres.store import PostgresRelational

    return PostgresRelational(url, timeout=timeout, pool=pool, replicas=replicas)
