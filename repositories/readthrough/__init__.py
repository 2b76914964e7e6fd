"""Read-through caching: what a source knows by id, kept as bytes in the cache, behind one `get`."""

from repositories.readthrough.kinds import Kind, schema_of
from repositories.readthrough.limit import Limit
from repositories.readthrough.posts import CachedDocuments, CachedPosts, with_cache
from repositories.readthrough.products import CachedProducts
from repositories.readthrough.records import Records
from repositories.readthrough.stock import StockWatch
from repositories.readthrough.through import ReadThrough, Wanted, read_through
from repositories.readthrough.used import Used
from repositories.readthrough.waves import Means

__all__ = [
    "CachedDocuments",
    "CachedPosts",
    "CachedProducts",
    "Kind",
    "Limit",
    "Means",
    "ReadThrough",
    "Records",
    "StockWatch",
    "Used",
    "Wanted",
    "read_through",
    "schema_of",
    "with_cache",
]
