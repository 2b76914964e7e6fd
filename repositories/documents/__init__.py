"""Documents: MongoDB, PostgreSQL, or SQLite as the embedded adapter. The URL's scheme decides."""

from datetime import timedelta

from repositories.address import addressed
from repositories.documents.port import CommentStore, DocumentStore, PostStore, ProductStore
from repositories.documents.views_port import ViewStore

__all__ = ["CommentStore", "DocumentStore", "PostStore", "ProductStore", "ViewStore", "open_store"]


@addressed("documents")
def open_store(url: str, *, timeout: timedelta, pool: int) -> DocumentStore:
    """`mongodb://...`, `postgresql://...` or `sqlite:///...`. Drivers are imported, and connected, only when used."""
    if url.startswith("sqlite:"):
        from repositories.documents.embedded.store import EmbeddedDocuments

        return EmbeddedDocuments(url)
    if url.startswith("postgresql:"):
        from repositories.documents.postgres.store import PostgresDocuments

        return PostgresDocuments(url, timeout=timeout, pool=pool)
    from repositories.documents.mongo.store import MongoDocuments

    return MongoDocuments(url, timeout=timeout, pool=pool)
