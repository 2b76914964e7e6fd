"""View counts in MongoDB: a separate document for each post, so that views do not rewrite the post."""

from collections.abc import Collection, Mapping
from uuid import UUID

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from repositories.documents.mongo.client import MongoConnection
from repositories.documents.mongo.demotion import follows_primary
from repositories.documents.mongo.versioned_writes import require_only_duplicates
from repositories.documents.views_port import ViewStore


@follows_primary
class MongoViews(ViewStore):
    """Idempotent by upsert: a post that already has the batch does not match, and the insert fails as a duplicate."""

    def __init__(self, connection: MongoConnection) -> None:
        self._connection = connection

    def apply(self, number: int, counts: Mapping[UUID, int]) -> None:
        adds = [
            UpdateOne(
                {"_id": post, "batch": {"$lt": number}}, {"$inc": {"n": n}, "$set": {"batch": number}}, upsert=True
            )
            for post, n in counts.items()
        ]
        if not adds:
            return
        with self._connection.calling():
            try:
                self._connection.collection("views").bulk_write(adds, ordered=False)
            except BulkWriteError as error:
                require_only_duplicates(error)

    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        with self._connection.calling():
            found = self._connection.collection("views").find({"_id": {"$in": list(post_ids)}}, {"n": 1})
            return dict.fromkeys(post_ids, 0) | {one["_id"]: int(one["n"]) for one in found}

    def forget(self, post_id: UUID) -> None:
        with self._connection.calling():
            self._connection.collection("views").delete_one({"_id": post_id})
