"""Documents: MongoDB, or SQLite JSON as the embedded twin. The URL's scheme decides."""

from datetime import timedelta

from repositories.address import addressed
from repositories.documents.port import Comments, Documents, Posts, Products
from repositories.documents.views_port import Views

__all__ = ["Comments", "Documents", "Posts", "Products", "Views", "open_store"]


@addressed("documents")
def open_store(url: str, *, timeout: timedelta, pool: int) -> Documents:
    """`mongodb://...` or `sqlite:///...`. Drivers are imported, and connected, only when used."""
    if url.startswith("sqlite:"):
        from repositories.documents.embedded.store import EmbeddedDocuments

        return EmbeddedDocuments(url)
    from repositories.documents.mongo.store import MongoDocuments

    return MongoDocuments(url, timeout=timeout, pool=pool)
