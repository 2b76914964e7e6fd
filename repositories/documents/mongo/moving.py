"""Documents in MongoDB as a place of a move. A change stream notes changes, and validators refuse writes.

MongoDB has no lock over several collections. So a fence refuses writes before the last changes are copied, and the mark
is written after them. The fence of a move that has died expires after `FENCE_SECONDS` by the server's clock.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pymongo
from pymongo import ReplaceOne
from pymongo.change_stream import DatabaseChangeStream
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from repositories.batched import batched
from repositories.documents.dump_records import KINDS, key_of
from repositories.documents.mongo.client import Document, MongoConnection
from repositories.documents.mongo.dump import LOAD_SECONDS, MAKE, STORED, MongoDump
from repositories.documents.mongo.events import derived
from repositories.documents.mongo.schema import MOVED, VALIDATORS
from repositories.dump_port import Load, RecordKind
from repositories.errors import Contention, Unavailable
from repositories.moving.places import CLOSED, Changed, FrozenPlace, Key, Mark, OfKeys, Overtaken, StorePlace

ROLE = "documents"
MARKS = "moving_marks"
FENCE_SECONDS = 3.0
# How long setting the fence waits for running transactions; reads queue behind it meanwhile.
LOCK_SECONDS = 0.4
SOME = 500
_NOTED: list[Document] = [{"$match": {"ns.coll": {"$in": [*MAKE, MARKS]}}}, {"$project": {"ns": 1, "documentKey": 1}}]
_EXPIRED = {"$expr": {"$lte": ["$fenced_until", "$$NOW"]}}
_HOLDS = {"$expr": {"$gt": ["$fenced_until", "$$NOW"]}}
Noted = tuple[str, Key]


class MongoPlace(StorePlace):
    kinds: Sequence[RecordKind] = KINDS

    def __init__(self, connection: MongoConnection, dump: MongoDump) -> None:
        self._connection = connection
        self._dump = dump
        self._stream: DatabaseChangeStream[Document] | None = None
        self._noted: list[Noted] = []
        self._later: list[Noted] = []
        self._move = ""

    def key(self, kind: str, record: Any) -> Key:
        return key_of(kind, record)

    def mark(self) -> Mark | None:
        with self._connection.calling():
            found = self._marks().find_one({"_id": ROLE})
            if found and "fence" in found:
                self._lift({**_EXPIRED, "state": "leaving"})
        return Mark(found["state"], int(found["epoch"]), found["url"], found["move"]) if found else None

    def open(self, epoch: int) -> None:
        which = {"_id": ROLE, "state": {"$in": list(CLOSED)}, "epoch": {"$lte": epoch}}
        with self._connection.calling():
            if self._marks().find_one(which):
                self._validate(None)
                self._marks().update_one(which, {"$set": {"state": "open", "epoch": epoch, "url": ""}})

    def is_empty(self) -> bool:
        return self._dump.is_empty()

    def tidy(self, move: str = "") -> None:
        self._end()
        which = {"_id": ROLE, "state": "leaving"} | ({"move": move} if move else {})
        with self._connection.calling():
            self._marks().update_one(which, {"$set": {"state": "open", "url": ""}})

    def capture(self, mark: Mark) -> None:
        self._end()
        self._move = mark.move
        with self._connection.calling():
            self._stream = self._connection.database.watch(_NOTED)
            self._leave(mark)

    @contextlib.contextmanager
    def moment(self) -> Iterator[FrozenPlace]:
        """Changes noted before the snapshot are in it. For those noted while it was taken (`_later`) this is unknown,
        so they are copied again with the next snapshot.
        """
        if self._stream:
            # Including `_later` of a snapshot without `forget`: that of the copy, or of a postponed switch.
            self._noted += [*self._later, *self._drained()]
        with self._connection.client.start_session(causal_consistency=False, snapshot=True) as session:
            with self._connection.calling():
                self._connection.collection("views").find_one({}, {"_id": 1}, sort={"_id": 1}, session=session)
            self._later = self._drained() if self._stream else []
            changed: dict[str, set[Key]] = defaultdict(set)
            for kind, key in (*self._noted, *self._later):
                changed[kind].add(key)
            yield FrozenPlace(
                lambda kind: self._dump.records(kind, session),
                lambda kind, keys: self._of_keys(kind, keys, session),
                changed,
            )

    def forget(self, moment: FrozenPlace) -> None:  # noqa: ARG002  it is always the last one
        self._noted, self._later = self._later, []

    @contextlib.contextmanager
    def switching(self, mark: Mark) -> Iterator[None]:
        ours = {"_id": ROLE, "state": "leaving", "move": self._move}
        fence = uuid4().hex
        with self._connection.calling():
            if not self._marks().find_one(ours):
                raise Overtaken("another move of the documents has begun or ended meanwhile")
            if not self._marks().update_one({**ours, "fence": {"$exists": False}}, _fenced(fence)).matched_count:
                raise Contention("a fence is up")
        try:
            self._refuse()
            yield
            self._write_moved(mark, {**ours, "fence": fence, **_HOLDS})
        except BaseException:
            with self._connection.calling():
                self._lift({"fence": fence, "state": "leaving"})
            raise
        self._end()

    def _write_moved(self, mark: Mark, which: Document) -> None:
        done = {"$set": {"state": mark.state, "epoch": mark.epoch, "url": mark.url}}
        with self._connection.calling():
            found = self._marks().update_one(which, {**done, "$unset": {"fence": "", "fenced_until": ""}})
        if not found.matched_count:
            raise Contention("the fence was up for too long")

    def release(self) -> None:
        self._end()
        with self._connection.calling():
            which = {"_id": ROLE, "state": "leaving", "move": self._move}
            self._marks().update_one(which, {"$set": {"state": "open"}})

    def receive(self, mark: Mark) -> None:
        self._move = mark.move
        with self._connection.calling(seconds=LOAD_SECONDS):
            self._set(mark)
            self._validate(MOVED)
            for name in VALIDATORS:
                self._connection.collection(name).delete_many({})

    @contextlib.contextmanager
    def loading(self) -> Iterator[Load]:
        yield self._put

    def apply(self, changed: Changed, of_keys: OfKeys) -> None:
        for kind, keys in changed.items():
            records = of_keys(kind, list(keys))
            gone = set(keys) - {key_of(kind, record) for record in records}
            with self._connection.calling(seconds=LOAD_SECONDS):
                self._require_incoming()
                ids = [_id(kind, key) for key in gone]
                for some in batched(ids, SOME):
                    self._connection.collection(kind).delete_many({"_id": {"$in": some}})
            self._put(kind, records)

    def _put(self, kind: str, records: Sequence[Any]) -> None:
        collection = self._connection.collection(kind)
        for some in batched((STORED[kind](record) for record in records), SOME):
            with self._connection.calling(seconds=LOAD_SECONDS):
                self._require_incoming()
                if kind == "posts":
                    tags = {tag for document in some for tag in document.get("tags", ())}
                    writes = [ReplaceOne({"_id": tag}, {"_id": tag}, upsert=True) for tag in sorted(tags)]
                    if writes:
                        self._connection.collection("tags").bulk_write(writes, bypass_document_validation=True)
                collection.bulk_write(
                    [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in some],
                    ordered=False,
                    bypass_document_validation=True,
                )
                carriers = [document["_id"] for document in some if "events" in document]
                if carriers:
                    which = {"_id": {"$in": carriers}, "events": {"$exists": True}}
                    collection.update_many(which, derived(), bypass_document_validation=True)

    def _require_incoming(self) -> None:
        if not self._marks().find_one({"_id": ROLE, "state": "incoming", "move": self._move}, {"_id": 1}):
            raise Overtaken("another move of the documents has begun or ended meanwhile")

    def _of_keys(self, kind: str, keys: Sequence[Key], session: ClientSession) -> list[Any]:
        found: list[Any] = []
        for some in batched((_id(kind, key) for key in keys), SOME):
            with self._connection.calling(seconds=LOAD_SECONDS):
                which = {"_id": {"$in": some}}
                found += [MAKE[kind](one) for one in self._connection.collection(kind).find(which, session=session)]
        return found

    def _drained(self) -> list[Noted]:
        """The changes that the stream has up to now, found by writing a marker document and reading up to it."""
        stream, marker, found = self._stream, f"marker {uuid4().hex}", list[Noted]()
        assert stream  # noqa: S101  for mypy
        with self._connection.calling(seconds=LOAD_SECONDS):
            self._marks().insert_one({"_id": marker})
            self._marks().delete_one({"_id": marker})
            while stream.alive:
                event = stream.try_next()
                if event is None:
                    continue
                if "documentKey" not in event:
                    raise Overtaken("a collection was dropped or renamed meanwhile")
                own_id = event["documentKey"]["_id"]
                if own_id == marker:
                    return found
                if event["ns"]["coll"] in MAKE:
                    found.append((event["ns"]["coll"], _key(own_id)))
        raise Unavailable(ROLE, "the change stream has ended")

    def _refuse(self) -> None:
        try:
            with self._connection.calling(seconds=LOCK_SECONDS * len(VALIDATORS)):
                self._validate(MOVED, LOCK_SECONDS)
        except Unavailable as error:
            raise Contention(str(error)) from error

    def _validate(self, validator: Document | None, seconds: float | None = None) -> None:
        for name, own in VALIDATORS.items():
            with pymongo.timeout(seconds) if seconds else contextlib.nullcontext():
                self._connection.database.command("collMod", name, validator=validator or own)

    def _lift(self, which: Document) -> None:
        """Remove the fence. It is first replaced by one of our own, so that the move that set it cannot switch."""
        own = uuid4().hex
        if self._marks().update_one({"_id": ROLE, **which}, _fenced(own)).matched_count:
            self._validate(None)
            self._marks().update_one({"_id": ROLE, "fence": own}, {"$unset": {"fence": "", "fenced_until": ""}})

    def _leave(self, mark: Mark) -> None:
        """Set the mark. The fence of another move stays: that move removes it, or `mark` does after it has expired."""
        which, fields = {"_id": ROLE, "state": {"$nin": list(CLOSED)}}, msgspec.structs.asdict(mark)
        try:
            self._marks().update_one(which, {"$set": fields}, upsert=True)
        except DuplicateKeyError as error:
            raise Overtaken("another move of the documents has begun or ended meanwhile") from error

    def _set(self, mark: Mark) -> None:
        fields = {name: getattr(mark, name) for name in mark.__struct_fields__}
        self._marks().replace_one({"_id": ROLE}, fields, upsert=True)

    def _marks(self) -> Collection[Document]:
        return self._connection.collection(MARKS)

    def _end(self) -> None:
        if self._stream:
            self._stream.close()
        self._stream, self._noted, self._later = None, [], []


def _fenced(fence: str) -> list[Document]:
    until = {"$add": ["$$NOW", int(FENCE_SECONDS * 1000)]}
    return [{"$set": {"fence": fence, "fenced_until": until}}]


def _id(kind: str, key: Key) -> Any:
    return {"post": key[0], "number": key[1]} if kind == "comments" else key[0]


def _key(own_id: UUID | Document) -> Key:
    return (own_id, 0) if isinstance(own_id, UUID) else (own_id["post"], int(own_id["number"]))
