"""Stores, records and helpers for the contract suites of the documents role."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.documents import DocumentStore, open_store
from repositories.documents.embedded.store import EmbeddedDocuments
from repositories.documents.postgres.store import PostgresDocuments
from repositories.documents.sql.posts import SqlPosts
from repositories.records.content import Comment, Post
from repositories.records.events import Event
from repositories.records.money import Money
from repositories.records.products import Product
from tests.contracts.relational_store import new_database
from tests.engines import Shared

ADAPTERS = ("embedded", *(pytest.param(engine, marks=pytest.mark.engines) for engine in ("mongo", "postgres")))
NOW = datetime(2026, 5, 1, 12, 0, 0, 123457, tzinfo=UTC)
TABLES = ("posts", "tags", "comments", "products", "attributes", "events", "views")
COLLECTIONS = ("posts", "comments", "products", "tags", "views")
TIMEOUT = timedelta(seconds=5)
# Text that stores may alter: composed and decomposed, right to left, joined emoji, Turkish i, NUL, control characters.
TEXTS = (
    "é",
    "e\u0301",
    "שלום",
    "👩‍👩‍👧‍👦",
    "\u0130i\u0131I",
    "a\0b",
    "\0",
    "\1\2\0\1",
    "\uffff",
    "😀",
    " \t\n",
    "$x.y",
    "%_'\"",
    "\x7f",
)
SURROGATE = "\ud800"

_ids = itertools.count(1)
_mongo_databases: dict[str, str] = {}
_postgres_databases: dict[str, str] = {}


def fresh_id() -> UUID:
    """A new id, greater than all before, as UUIDv7 are."""
    return UUID(f"01900000-0000-7000-8000-{next(_ids):012x}")


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_post(**fields: Any) -> Post:
    plain = Post(
        id=fresh_id(),
        author_id=uuid4(),
        title="Title",
        body="Body",
        tags=(),
        product_ids=(),
        created_at=NOW,
        updated_at=NOW,
        version=1,
    )
    return replace(plain, **fields)


def a_product(**fields: Any) -> Product:
    plain = Product(
        id=fresh_id(),
        seller_id=uuid4(),
        title="Title",
        description="Description",
        category="category",
        price=Money(1250, "EUR"),
        attributes={},
        created_at=NOW,
        updated_at=NOW,
        version=1,
    )
    return replace(plain, **fields)


def a_comment(post_id: UUID, number: int, body: str = "Body") -> Comment:
    return Comment(post_id, number, uuid4(), body, NOW)


def an_event(aggregate: object = "thing", *, happened_at: datetime = NOW, type_: str = "changed") -> Event:
    return Event(fresh_id(), type_, str(aggregate), happened_at, b'{"a": 1}')


def published(store: DocumentStore, **fields: Any) -> Post:
    post = a_post(**fields)
    store.posts.add(post, an_event(post.id))
    return post


def offered(store: DocumentStore, **fields: Any) -> Product:
    product = a_product(**fields)
    store.products.add(product, an_event(product.id))
    return product


def commented(store: DocumentStore, post: Post, body: str = "Body") -> Comment:
    return store.comments.add(post.id, uuid4(), body, NOW, announced)


def announced(comment: Comment) -> Event:
    return an_event(f"{comment.post_id}/{comment.number}", type_="commented")


def edited(store: DocumentStore, post: Post, **fields: Any) -> Post:
    changed = replace(post, **{"version": post.version + 1} | fields)
    store.posts.replace(changed, an_event(post.id), if_version=post.version)
    return changed


def dispatch_all(store: DocumentStore, now: datetime = NOW) -> list[Event]:
    """Act as the relay until nothing is due. Returns the acknowledged events."""
    dispatched: list[Event] = []
    while claims := store.outbox.claim(now=now, lease_until=now + timedelta(minutes=1), limit=100):
        store.outbox.acknowledge(claims)
        dispatched += [claim.event for claim in claims]
    return dispatched


def miscount(store: DocumentStore, post: Post, comments: int) -> None:
    """Falsify the stored count of a post's comments, bypassing the port."""
    posts: Any = store.posts
    if isinstance(posts, SqlPosts):
        with posts._database.write() as work:
            work.execute("UPDATE documents_posts SET comments = ? WHERE id = ?", (comments, post.id))
    else:
        posts._posts.update_one({"_id": post.id}, {"$set": {"comments": comments}})


def at_once(work: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run the calls in threads that start at the same time. Returns their results or exceptions."""
    barrier = Barrier(len(work))

    def run(one: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return one()
        except Exception as error:  # noqa: BLE001  returned to the caller
            return error

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


def url_of(adapter: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """A new file for each test; in an engine one database for all tests, emptied before each."""
    if adapter == "embedded":
        return f"sqlite:///{folder / 'documents.db'}"
    engines: Shared = request.getfixturevalue("engines")
    if adapter == "postgres":
        server = engines.postgres()
        if server.url not in _postgres_databases:
            url = _postgres_databases[server.url] = new_database(server)
            migrated(url)
        return _postgres_databases[server.url]
    base, options = engines.mongo().url.split("?")
    name = _mongo_databases.setdefault(base, f"documents_{uuid4().hex[:8]}")
    return f"{base.rsplit('/', 1)[0]}/{name}?{options}"


def migrated(url: str) -> None:
    with closing(open_store(url, timeout=TIMEOUT, pool=1)) as store:
        store.migrate()


def opened(adapter: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[DocumentStore]:
    store = open_store(url_of(adapter, request, folder), timeout=TIMEOUT, pool=40)
    if adapter != "postgres":
        store.migrate()
    empty(store)
    yield store
    store.close()


def empty(store: DocumentStore) -> None:
    if isinstance(store, PostgresDocuments):
        with store._database.write() as work:
            for table in TABLES:
                work.execute(f"DELETE FROM documents_{table}")  # noqa: S608  our own names
    elif not isinstance(store, EmbeddedDocuments):
        for name in COLLECTIONS:
            store._connection.collection(name).delete_many({})  # type: ignore[attr-defined]  # known to be MongoDB's
