"""Filters that include the shard key, for sharded collections.

Every command names the shard key, except those listed in `docs/distribution.toml`, which go to all shards. Updates of a
single document depend on it: before MongoDB 7 a router refuses one without the shard key.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from bson.max_key import MaxKey

from repositories.documents.mongo.client import Document

COMMENTS = "comments"
# The shard key of comments: all comments of a post are on one shard.
POST = "_id.post"


def among(collection: str, keys: Sequence[Any]) -> Document:
    """A filter for the documents with these ids."""
    beside = {POST: {"$in": list({key["post"] for key in keys})}} if collection == COMMENTS else {}
    return {"_id": {"$in": list(keys)}, **beside}


def comments_above(post_id: UUID, number: int | None) -> Document:
    """A filter for the comments of a post with a higher number than this; None: all of them."""
    above = {"$gt": {"post": post_id, "number": number}, "$lt": {"post": post_id, "number": MaxKey()}}
    return {"_id": above, POST: post_id}
