"""Collections, validators and indexes, and the migration steps from whatever exists to these."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from pymongo.database import Database

from repositories.documents.mongo.client import Document
from repositories.documents.mongo.errors import REFUSES_ALL
from repositories.documents.mongo.events import renamed

BINARY = {"bsonType": "binData"}
TEXT = {"bsonType": "string"}
WHOLE = {"bsonType": ["int", "long"]}
WHOLE_OR_NULL = {"bsonType": ["int", "long", "null"]}
IDS = {"bsonType": "array", "items": BINARY}
TEXTS = {"bsonType": "array", "items": TEXT}

Step = tuple[str, Callable[[], Any]]


def _object(**fields: Document) -> Document:
    return {"bsonType": "object", "required": list(fields), "properties": fields}


EVENT = _object(
    id=BINARY,
    type=TEXT,
    aggregate=TEXT,
    happened_at=WHOLE,
    payload=BINARY,
    publishes={"bsonType": "bool"},
    attempts=WHOLE,
    due_at=WHOLE,
    lease={"bsonType": ["binData", "null"]},
    lease_until=WHOLE_OR_NULL,
    dead_lettered_at=WHOLE_OR_NULL,
    reason={"bsonType": ["string", "null"]},
)
EVENT["properties"]["traceparent"] = TEXT


def _validator(**fields: Document) -> Document:
    """Requires either all fields of a live document, or a tombstone."""
    carried = {"deleted_at": WHOLE, "events": {"bsonType": "array", "items": EVENT}}
    whole = {"anyOf": [{"required": list(fields)}, {"required": ["deleted_at"]}]}
    return {"$jsonSchema": {"bsonType": "object", "properties": fields | carried, **whole}}


POST = _validator(
    author_id=BINARY,
    title=TEXT,
    body=TEXT,
    tags=TEXTS,
    product_ids=IDS,
    created_at=WHOLE,
    updated_at=WHOLE,
    version=WHOLE,
    comments=WHOLE,
    comment_seq=WHOLE,
)
COMMENT = _validator(_id=_object(post=BINARY, number=WHOLE), author_id=BINARY, body=TEXT, created_at=WHOLE)
ATTRIBUTE = _object(n=TEXT, v={"bsonType": ["string", "int", "long", "double", "bool"]}, t=TEXT)
PRODUCT = _validator(
    seller_id=BINARY,
    title=TEXT,
    description=TEXT,
    category=TEXT,
    price=_object(amount=WHOLE, currency=TEXT),
    attributes={"bsonType": "array", "items": ATTRIBUTE},
    created_at=WHOLE,
    updated_at=WHOLE,
    version=WHOLE,
)
TAG = {"$jsonSchema": _object(_id=TEXT)}
VIEWS = {"$jsonSchema": _object(_id=BINARY, n=WHOLE, batch=WHOLE)}
# The validator of a `moved` or `incoming` place: no document matches.
MOVED: Document = {REFUSES_ALL: True}
VALIDATORS = {"posts": POST, "comments": COMMENT, "products": PRODUCT, "tags": TAG, "views": VIEWS}


def _index(*names: str, where: Document | None = None) -> Document:
    return {"key": dict.fromkeys(names, 1), **({"partialFilterExpression": where} if where else {})}


def _if_present(name: str) -> Document:
    return {name: {"$exists": True}}


# The relay's indexes: due events with the fields of the backlog, dead letters, documents by event, tombstones to purge.
CARRIER = {
    "due": _index(
        *("outbox.due_at", "_id", "outbox.lease_until", "outbox.unsent", "outbox.since"),
        where=_if_present("outbox.due_at"),
    ),
    "dead_lettered": _index(
        "outbox.dead_lettered_since", "outbox.dead_lettered", where=_if_present("outbox.dead_lettered_since")
    ),
    "event": _index("events.id", where=_if_present("events.id")),
    "purge": _index("purge", where=_if_present("purge")),
}
# The keys below repeat the field of this filter; without it the server would check the field in each document.
IN_FLIGHT: Document = {"in_flight": True}
INDEXES: dict[str, dict[str, Document]] = {
    "posts": {
        **CARRIER,
        "author": _index("author_id", "_id"),
        "tag": _index("tags", "_id"),
        "in_flight": _index("in_flight", "author_id", "_id", where=IN_FLIGHT),
        "in_flight_ids": _index("in_flight", "_id", "author_id", where=IN_FLIGHT),
    },
    "comments": {**CARRIER, "author": _index("author_id", "_id")},
    "products": {
        **CARRIER,
        "category": _index("category", "_id"),
        "attribute": _index("attributes.n", "attributes.t", "_id"),
        "price": _index("price.amount", "_id"),
        "seller": _index("seller_id", "_id"),
    },
    "tags": {},
    "views": {},
}
CARRIERS = [name for name, indexes in INDEXES.items() if "event" in indexes]
FORMER_INDEX = "parked"
FORMER_EVENTS = {"events.id": {"$exists": True}, "events.parked_at": {"$exists": True}}


def steps(database: Database[Document]) -> Iterator[Step]:
    """The steps to take, in order. None has been executed when it is yielded."""
    there = {found["name"]: found.get("options", {}) for found in database.list_collections()}
    for name, validator in VALIDATORS.items():
        if name not in there:
            yield f"create collection {name}", partial(database.create_collection, name, validator=validator)
        elif there[name].get("validator") not in (validator, MOVED):
            yield f"change validator of {name}", partial(database.command, "collMod", name, validator=validator)
        yield from _index_steps(database, name)
    for name in CARRIERS:
        if name in there and database[name].find_one(FORMER_EVENTS, {"_id": 1}):
            yield f"rename fields of events in {name}", partial(database[name].update_many, FORMER_EVENTS, renamed())


def _index_steps(database: Database[Document], name: str) -> Iterator[Step]:
    collection = database[name]
    there = {found["name"]: found for found in collection.list_indexes()}
    if FORMER_INDEX in there:
        yield f"drop former index {name}.{FORMER_INDEX}", partial(collection.drop_index, FORMER_INDEX)
    for index, spec in INDEXES[name].items():
        if index in there and is_as_made(name, index, there[index]):
            continue
        if index in there and _shape(there[index]) == _shape(spec):
            shown = {"name": index, "hidden": False}
            yield f"unhide index {name}.{index}", partial(database.command, "collMod", name, index=shown)
            continue
        if index in there:
            yield f"drop changed index {name}.{index}", partial(collection.drop_index, index)
        keys = list(spec["key"].items())
        where = {key: value for key, value in spec.items() if key != "key"}
        yield f"create index {name}.{index}", partial(collection.create_index, keys, name=index, **where)


def is_as_made(collection: str, index: str, found: Mapping[str, Any]) -> bool:
    """Whether an index has the keys and the filter that `INDEXES` declares for it, and is not hidden."""
    return _shape(found) == _shape(INDEXES[collection][index]) and not found.get("hidden")


def _shape(index: Mapping[str, Any]) -> tuple[list[tuple[str, Any]], Any]:
    return list(index["key"].items()), index.get("partialFilterExpression")
