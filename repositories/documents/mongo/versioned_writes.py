"""Writes that posts and products share: a versioned write and its event are one update."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from repositories.documents.mongo.client import Document
from repositories.documents.mongo.errors import refuses_all, translated
from repositories.documents.mongo.events import appended, buried
from repositories.errors import Invalid, NotFound, Stale
from repositories.records.events import Event

Documents = Collection[Document]

LIVE: Document = {"deleted_at": None}
LOADED_AT_ONCE = 1000  # documents per bulk write, each with its own deadline
DUPLICATE_KEY = 11000


def replace(collection: Documents, found: Document, event: Event, *, if_version: int) -> None:
    """Replace the fields that `found` contains; the document's other fields stay."""
    fields = {name: {"$literal": value} for name, value in found.items() if name != "_id"}
    _write(collection, found["_id"], [{"$set": fields}, *appended(event)], if_version)


def delete(collection: Documents, document_id: UUID, event: Event, *, if_version: int) -> None:
    _write(collection, document_id, buried(event), if_version)


def bury(collection: Documents, events: Sequence[tuple[Any, Event]], session: ClientSession | None = None) -> None:
    """Delete documents by id, whatever their version, each with its event. Documents already deleted are skipped."""
    updates = [UpdateOne({"_id": one, **LIVE}, buried(event)) for one, event in events]
    if updates:
        collection.bulk_write(updates, ordered=False, session=session)


def load(collection: Documents, documents: Sequence[Document]) -> None:
    """Insert the missing documents, in one round trip."""
    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        require_only_duplicates(error)


def require_only_duplicates(error: BulkWriteError) -> None:
    """Raise `MovedAway` if the place refuses writes, and `Invalid` for a document that cannot be stored."""
    if refuses_all(error):
        raise translated(error) from error
    refused = [one for one in error.details["writeErrors"] if one["code"] != DUPLICATE_KEY]
    if refused:
        raise Invalid(refused[0]["errmsg"]) from error


def _write(collection: Documents, document_id: UUID, stages: list[dict[str, Any]], if_version: int) -> None:
    which = {"_id": document_id, **LIVE}
    if not collection.update_one({**which, "version": if_version}, stages).matched_count:
        raise Stale if collection.find_one(which, {"_id": 1}) else NotFound
