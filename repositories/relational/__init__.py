"""The relational role: PostgreSQL, or SQLite as the embedded adapter. The URL's scheme decides."""

from datetime import timedelta

from repositories.address import addressed
from repositories.relational.port import Relational, Transaction

__all__ = ["Relational", "Transaction", "open_store"]


@addressed("relational")
def open_store(url: str, *, timeout: timedelta, pool: int) -> Relational:
    """`postgresql://...` or `sqlite:///...`. The driver is imported, and connected, only when used."""
    if url.startswith("sqlite:"):
        from repositories.relational.embedded.store import EmbeddedRelational

        return EmbeddedRelational(url)
    from repositories.relational.postgres.store import PostgresRelational

    return PostgresRelational(url, timeout=timeout, pool=pool)
