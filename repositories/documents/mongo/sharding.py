"""Which shard has a document, where the collections are sharded.

Every command names the shard key of what it asks for, but for those that `docs/distribution.toml` lists: they ask all
shards. So an update of one document works on every server: before MongoDB 7 a router refuses one without the key.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from bson.max_key import MaxKey

from repositories.documents.mongo.client import Document

COMMENTS = "comments"
# A comment is beside the others of its post.
POST = "_id.post"


def among(collection: str, keys: Sequence[Any]) -> Document:
    """The documents with these ids."""
    beside = {POST: {"$in": list({key["post"] for key in keys})}} if collection == COMMENTS else {}
    return {"_id": {"$in": list(keys)}, **beside}


def comments_above(post_id: UUID, number: int | None) -> Document:
    """The comments of a post, those with higher numbers."""
    above = {"$gt": {"post": post_id, "number": number}, "$lt": {"post": post_id, "number": MaxKey()}}
    return {"_id": above, POST: post_id}
