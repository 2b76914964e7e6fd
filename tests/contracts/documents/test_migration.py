"""`migrate` brings documents of the earlier version, whose events had the field `parked_at`, up to date."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from repositories.documents import DocumentStore, open_store
from repositories.documents.embedded.store import EmbeddedDocuments
from tests.contracts.document_store import TIMEOUT, at, commented, edited, offered, published
from tests.engines import Shared

FORMER_TABLE = (
    "DROP INDEX documents_events_dead_lettered",
    "ALTER TABLE documents_events RENAME COLUMN dead_lettered_at TO parked_at",
    "CREATE INDEX documents_events_parked ON documents_events (parked_at, id) WHERE parked_at IS NOT NULL",
    "ALTER TABLE documents_events DROP COLUMN traceparent",
    "DROP INDEX documents_comments_author",
    "ALTER TABLE documents_comments DROP COLUMN author_id",
    "UPDATE documents_comments SET document = CAST(document AS TEXT)",
    "CREATE INDEX documents_comments_author ON documents_comments (json_extract(document, '$.author_id'), post_id)",
    "DROP INDEX documents_products_seller",
    "ALTER TABLE documents_products DROP COLUMN seller_id",
    "UPDATE documents_products SET document = CAST(document AS TEXT)",
    "CREATE INDEX documents_products_seller ON documents_products (json_extract(document, '$.seller_id'), id)",
    "UPDATE documents_posts SET document = CAST(document AS TEXT)",
)
FORMER_EVENT = {"$mergeObjects": ["$$this", {"parked_at": "$$this.dead_lettered_at"}]}
FORMER_FIELDS: list[dict[str, Any]] = [
    {"$set": {"events": {"$map": {"input": "$events", "as": "this", "in": FORMER_EVENT}}}},
    {"$set": {"outbox.parked": "$outbox.dead_lettered", "outbox.parked_since": "$outbox.dead_lettered_since"}},
    {"$unset": ["events.dead_lettered_at", "outbox.dead_lettered", "outbox.dead_lettered_since"]},
]


@pytest.fixture(params=["embedded", pytest.param("mongo", marks=pytest.mark.engines)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DocumentStore]:
    if request.param == "embedded":
        url = f"sqlite:///{tmp_path / 'documents.db'}"
    else:
        engines: Shared = request.getfixturevalue("engines")
        base, options = engines.mongo().url.split("?")
        url = f"{base.rsplit('/', 1)[0]}/former_{uuid4().hex[:8]}?{options}"
    store = open_store(url, timeout=TIMEOUT, pool=4)
    store.migrate()
    yield store
    store.close()


def make_former(store: DocumentStore) -> None:
    if isinstance(store, EmbeddedDocuments):
        with store._database.write() as connection:
            for statement in FORMER_TABLE:
                connection.execute(statement)
        return
    database: Any = store._connection.database  # type: ignore[attr-defined]  # known to be MongoDB's
    for name in ("posts", "comments", "products"):
        database.command("collMod", name, validator={})
        database[name].update_many({"events.id": {"$exists": True}}, FORMER_FIELDS)
        database[name].drop_index("dead_lettered")
        database[name].create_index({"outbox.parked_since": 1}, name="parked")


def test_documents_are_found_by_their_owners(store: DocumentStore) -> None:
    post, product = published(store), offered(store)
    comment = commented(store, post)
    make_former(store)
    store.migrate()

    assert store.posts.get([post.id]) == {post.id: post}
    assert store.comments.by_author(comment.author_id, after=None, limit=9) == [comment]
    assert store.products.of_seller(product.seller_id, after=None, limit=9) == [product]


def test_events_keep_their_state(store: DocumentStore) -> None:
    """One post has a dead-lettered and a waiting event, another post has a waiting event."""
    edited(store, published(store), title="new")
    published(store)
    first, *others = store.outbox.claim(now=at(9), lease_until=at(10), limit=9)
    assert len(others) == 2
    store.outbox.dead_letter(first, reason="broken", attempts=3, now=at(9))
    before = (store.outbox.dead_letters(limit=9), store.outbox.backlog())
    make_former(store)
    planned = store.migrate(dry_run=True)
    assert store.migrate() == planned != []
    assert store.migrate() == []
    assert (store.outbox.dead_letters(limit=9), store.outbox.backlog()) == before
    assert store.outbox.replay(None, now=at(11)) == 1
    assert len(store.outbox.claim(now=at(11), lease_until=at(12), limit=9)) == 3
