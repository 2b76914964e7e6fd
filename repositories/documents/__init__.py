"""The documents role: MongoDB, PostgreSQL, or SQLite as the embedded adapter. The URL's scheme selects the adapter."""

from datetime import timedelta

from repositories.address import addressed
from repositories.documents.port import CommentStore, DocumentStore, PostStore, ProductStore
from repositories.documents.views_port import ViewStore

__all__ = ["CommentStore", "DocumentStore", "PostStore", "ProductStore", "ViewStore", "open_store"]


@addressed("documents")
def open_store(url: str, *, timeout: timedelta, pool: int) -> DocumentStore:
    """Open `mongodb://...`, `postgresql://...` or `sqlite:///...`. The driver is imported only for its own scheme, and
    connects on first use. `timeout` bounds each call; `pool` is the maximum number of connections per process.
    """
    if url.startswith("sqlite:"):
        from repositories.documents.embedded.store import EmbeddedDocuments

        return EmbeddedDocuments(url)
    if url.startswith("postgresql:"):
        from repositories.documents.postgres.store import PostgresDocuments

        return PostgresDocuments(url, timeout=timeout, pool=pool)
    from repositories.documents.mongo.store import MongoDocuments

    return MongoDocuments(url, timeout=timeout, pool=pool)
