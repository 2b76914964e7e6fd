"""Dump and restore of all documents in MongoDB with their unsent events: from one snapshot session, into empty
collections.

The server keeps a snapshot for `minSnapshotHistoryWindowInSeconds`, by default 300.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from bson.int64 import Int64
from pymongo.client_session import ClientSession

from repositories.batched import batched
from repositories.documents.dump_records import KINDS, KeptComment, KeptEvent, KeptPost, KeptProduct, KeptViews
from repositories.documents.mongo import comments, posts, products, versioned_writes
from repositories.documents.mongo.client import Document, MongoConnection
from repositories.documents.mongo.events import derived
from repositories.documents.mongo.sharding import among
from repositories.dump_port import Dump, Frozen, Load, RecordKind

BATCH = 1000
LOAD_SECONDS = 60.0


class MongoDump(Dump):
    kinds: Sequence[RecordKind] = KINDS

    def __init__(self, connection: MongoConnection, known: Callable[[set[str]], None]) -> None:
        """`known` registers tags; it is called before the posts that have them are stored."""
        self._connection = connection
        self._known = known

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Frozen]:
        with self._connection.client.start_session(causal_consistency=False, snapshot=True) as session:
            with self._connection.calling():
                self._connection.collection("views").find_one({}, {"_id": 1}, sort={"_id": 1}, session=session)
            yield Frozen(None, lambda kind: self.records(kind, session))

    def is_empty(self) -> bool:
        with self._connection.calling():
            every = [self._connection.collection(kind) for kind in MAKE]
            return not any(one.find_one({}, {"_id": 1}, sort={"_id": 1}) for one in every)

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        def load(kind: str, records: Sequence[Any]) -> None:
            for some in batched(records, BATCH):
                self._load(kind, some)

        yield load

    def records(self, kind: str, session: ClientSession) -> Iterator[Sequence[Any]]:
        which: Document = {}
        while True:
            with self._connection.calling(seconds=LOAD_SECONDS):
                found = self._connection.collection(kind).find(which, session=session).sort("_id").limit(BATCH)
                documents = list(found)
            if documents:
                yield [MAKE[kind](document) for document in documents]
            if len(documents) < BATCH:
                return
            which = {"_id": {"$gt": documents[-1]["_id"]}}

    def _load(self, kind: str, records: Sequence[Any]) -> None:
        documents = [STORED[kind](record) for record in records]
        with self._connection.calling(seconds=LOAD_SECONDS):
            if kind == "posts":
                self._known({tag for document in documents for tag in document.get("tags", ())})
            versioned_writes.load(self._connection.collection(kind), documents)
            carriers = [document["_id"] for document in documents if "events" in document]
            if carriers:
                # All of the batch, not only the new ones: an interrupted load may have left some without `outbox`.
                which = {**among(kind, carriers), "events": {"$exists": True}}
                self._connection.collection(kind).update_many(which, derived())


def _post(found: Document) -> KeptPost:
    live = found.get("deleted_at") is None
    counts = (int(found["comments"]), int(found["comment_seq"])) if live else (0, 0)
    post = posts.post_of(found) if live else None
    return KeptPost(found["_id"], int(found["version"]), *counts, _deleted(found), post, _events(found))


def _comment(found: Document) -> KeptComment:
    comment = comments.comment_of(found) if found.get("deleted_at") is None else None
    key = found["_id"]
    return KeptComment(key["post"], int(key["number"]), _deleted(found), comment, _events(found))


def _product(found: Document) -> KeptProduct:
    product = products.product_of(found) if found.get("deleted_at") is None else None
    return KeptProduct(found["_id"], int(found["version"]), _deleted(found), product, _events(found))


def _views(found: Document) -> KeptViews:
    return KeptViews(found["_id"], int(found["n"]), int(found["batch"]))


def _deleted(found: Document) -> int | None:
    return None if found.get("deleted_at") is None else int(found["deleted_at"])


def _events(found: Document) -> tuple[KeptEvent, ...]:
    return tuple(_event({"traceparent": "", **kept}) for kept in found.get("events", ()))


def _event(kept: Document) -> KeptEvent:
    """Converts `Int64`, the class of BSON's 64-bit integers, to `int`."""
    fields = [kept[name] for name in KeptEvent.__struct_fields__]
    values: list[Any] = [int(one) if isinstance(one, Int64) else one for one in fields]
    return KeptEvent(*values)


def _stored_post(kept: KeptPost) -> Document:
    counts = {"comments": kept.comments, "comment_seq": kept.comment_seq}
    live = posts.document_of(kept.post) | counts if kept.post else _tombstone(kept.id, kept)
    return live | _carried(kept.events, deleted=kept.post is None)


def _stored_comment(kept: KeptComment) -> Document:
    key = {"post": kept.post_id, "number": kept.number}
    live = comments.document_of(kept.comment) if kept.comment else {"_id": key, "deleted_at": kept.deleted_at}
    return live | _carried(kept.events, deleted=kept.comment is None)


def _stored_product(kept: KeptProduct) -> Document:
    live = products.document_of(kept.product) if kept.product else _tombstone(kept.id, kept)
    return live | _carried(kept.events, deleted=kept.product is None)


def _stored_views(kept: KeptViews) -> Document:
    return {"_id": kept.post_id, "n": kept.views, "batch": kept.batch}


def _tombstone(own_id: UUID, kept: KeptPost | KeptProduct) -> Document:
    return {"_id": own_id, "version": kept.version, "deleted_at": kept.deleted_at}


def _carried(events: Sequence[KeptEvent], *, deleted: bool) -> Document:
    """The stored events. A tombstone gets the field even if it is empty, so that it is marked for purging."""
    unleased = {"lease": None, "lease_until": None}
    stored = [{name: getattr(one, name) for name in one.__struct_fields__} | unleased for one in events]
    return {"events": stored} if stored or deleted else {}


MAKE: Mapping[str, Callable[[Document], Any]] = {
    "posts": _post,
    "comments": _comment,
    "products": _product,
    "views": _views,
}
STORED: Mapping[str, Callable[[Any], Document]] = {
    "posts": _stored_post,
    "comments": _stored_comment,
    "products": _stored_product,
    "views": _stored_views,
}
