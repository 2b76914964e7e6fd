"""Every read of the documents role uses an index of MongoDB, and examines little more than it returns."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pymongo import MongoClient

from repositories.documents import DocumentStore, open_store
from repositories.records.money import Money
from repositories.records.products import ProductFilter
from tests.contracts.document_store import (
    NOW,
    a_comment,
    a_post,
    a_product,
    an_event,
    at,
    commented,
    fresh_id,
    offered,
    published,
)

from . import Engines

MANY = 2000
AUTHORS = [uuid4() for _ in range(50)]
POSTS = [a_post(author_id=AUTHORS[n % 50], tags=(f"t{n % 20}",)) for n in range(MANY)]
ALL = [*AUTHORS, *(uuid4() for _ in range(500))]
PRODUCTS = [
    a_product(category=f"c{n % 20}", price=Money(n, "EUR"), attributes={"n": n, "color": f"{n % 7}"})
    for n in range(MANY)
]
POST, MIDDLE = POSTS[0].id, POSTS[MANY // 2].id


def settle(store: DocumentStore) -> None:
    """Claim events, and settle them in each way that a relay may."""
    released, postponed, dead, *dispatched = store.outbox.claim(now=at(99), lease_until=at(100), limit=5)
    store.outbox.release([released])
    store.outbox.postpone(postponed, due=at(100), attempts=1)
    store.outbox.dead_letter(dead, reason="broken", attempts=1, now=at(99))
    store.outbox.acknowledge(dispatched)


# Each read, and how many documents it may examine.
READS: dict[str, tuple[int, Callable[[DocumentStore], Any]]] = {
    "get": (3, lambda s: s.posts.get([POST, MIDDLE, uuid4()])),
    "authors": (3, lambda s: s.posts.authors([POST, MIDDLE, uuid4()])),
    "page": (20, lambda s: s.posts.page(before=None, limit=5)),
    "page below": (5, lambda s: s.posts.page(before=MIDDLE, limit=5)),
    "page of author": (5, lambda s: s.posts.page(before=MIDDLE, limit=5, author=AUTHORS[0])),
    "page of tag": (5, lambda s: s.posts.page(before=MIDDLE, limit=5, tag="t1")),
    "page of both": (100, lambda s: s.posts.page(before=None, limit=5, tag="t0", author=AUTHORS[0])),
    "by authors": (0, lambda s: s.posts.by_authors(AUTHORS[:9], before=MIDDLE, limit=5)),
    "by authors above": (0, lambda s: s.posts.by_authors(AUTHORS[:9], after=MIDDLE, limit=5)),
    "by all authors": (0, lambda s: s.posts.by_authors(ALL, limit=5)),
    "by all authors above": (0, lambda s: s.posts.by_authors(ALL, after=MIDDLE, limit=5)),
    "in flight": (0, lambda s: s.posts.in_flight(AUTHORS, limit=5)),
    "in flight of all": (0, lambda s: s.posts.in_flight(ALL, before=fresh_id(), limit=5)),
    "in flight by anybody": (0, lambda s: s.posts.in_flight(None, limit=5)),
    "ids": (5, lambda s: s.posts.ids(after=MIDDLE, limit=5)),
    "counts": (0, lambda s: s.posts.counts(AUTHORS[:3])),
    "tags": (25, lambda s: s.posts.tags(after=None, limit=99)),
    "tags after": (25, lambda s: s.posts.tags(after="t1", limit=5)),
    "comment": (2, lambda s: s.comments.get(POST, 7)),
    "comments": (6, lambda s: s.comments.page(POST, after=500, limit=5)),
    # Each comment is examined twice: for its post, and for itself.
    "recount": (2 * MANY + 30, lambda s: s.comments.recount([POST, *(post.id for post in POSTS[1:20])], repair=True)),
    "comments of author": (0, lambda s: s.comments.by_author(uuid4(), after=(POST, 3), limit=5)),
    "products of seller": (0, lambda s: s.products.of_seller(uuid4(), after=POST, limit=5)),
    "deletion of posts": (0, lambda s: s.posts.delete_of(uuid4(), an_event, limit=5)),
    "deletion of comments": (0, lambda s: s.comments.delete_of(uuid4(), an_event, limit=5)),
    "deletion of products": (0, lambda s: s.products.delete_of(uuid4(), an_event, limit=5)),
    "comment counts": (2, lambda s: s.comments.counts([POST, MIDDLE])),
    "products": (20, lambda s: s.products.page(ProductFilter(), before=None, limit=5)),
    "category": (5, lambda s: s.products.page(ProductFilter("c1"), before=PRODUCTS[-1].id, limit=5)),
    "attribute": (5, lambda s: s.products.page(ProductFilter(None, (("n", "7"),)), before=None, limit=5)),
    "attributes": (
        300,
        lambda s: s.products.page(ProductFilter(None, (("color", "3"), ("n", "10"))), before=None, limit=5),
    ),
    "price": (60, lambda s: s.products.page(ProductFilter(price_min=5, price_max=50), before=None, limit=5)),
    "everything": (
        100,
        lambda s: s.products.page(ProductFilter("c3", (("color", "3"),), 0, MANY), before=None, limit=5),
    ),
    "facets": (120, lambda s: s.products.facets(ProductFilter(), sample=100, values=5)),
    "facets of category": (100, lambda s: s.products.facets(ProductFilter("c1"), sample=100, values=5)),
    "claim": (60, lambda s: s.outbox.claim(now=at(9), lease_until=at(10), limit=5)),
    "dead_lettered": (5, lambda s: s.outbox.dead_letters(limit=5)),
    "replay": (9, lambda s: s.outbox.replay(None, now=NOW)),
    "replay one": (5, lambda s: s.outbox.replay([uuid4()], now=NOW)),
    "backlog": (0, lambda s: s.outbox.backlog()),
    "settle": (40, settle),
}


def fill(store: DocumentStore) -> None:
    store.posts.load(POSTS)
    store.products.load(PRODUCTS)
    store.comments.load([a_comment(POST, number) for number in range(1, MANY + 1)])
    for n in range(10):
        post = published(store, author_id=AUTHORS[n])
        commented(store, post)
        product = offered(store)
        store.products.delete(product.id, an_event(), if_version=1)
    for claim in store.outbox.claim(now=at(0), lease_until=at(1), limit=3):
        store.outbox.dead_letter(claim, reason="broken", attempts=1, now=NOW)


@pytest.fixture(scope="module")
def url(own_engines: Engines) -> str:
    base, options = own_engines.mongo().url.split("?")
    return f"{base.rsplit('/', 1)[0]}/plans_{uuid4().hex[:8]}?{options}"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](url) as client:
        yield client


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[DocumentStore]:
    store = open_store(url, timeout=timedelta(seconds=5), pool=2)
    store.migrate()
    fill(store)
    yield store
    store.close()


@pytest.fixture
def profiled(client: MongoClient[dict[str, Any]], store: DocumentStore) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Make the server refuse collection scans, and profile what each operation examines."""
    database = client.get_default_database()
    client.admin.command("setParameter", 1, notablescan=True)
    database.command("profile", 2)
    begun = database["system.profile"].count_documents({})

    def notes() -> list[dict[str, Any]]:
        database.command("profile", 0)
        noted = database["system.profile"].find({"ns": {"$not": {"$regex": "system"}}}).sort("$natural", 1)
        return list(noted)[begun:]

    yield notes
    database.command("profile", 0)
    client.admin.command("setParameter", 1, notablescan=False)
    database.drop_collection("system.profile")


@pytest.mark.parametrize("name", READS)
def test_reads_use_an_index(store: DocumentStore, profiled: Callable[[], list[dict[str, Any]]], name: str) -> None:
    most, read = READS[name]
    read(store)
    notes = [note for note in profiled() if "planSummary" in note]
    assert notes
    assert [note["planSummary"] for note in notes if "COLLSCAN" in note["planSummary"]] == []
    assert sum(note.get("docsExamined", 0) for note in notes) <= most


# Each read, and how many index keys it may examine: two per author, on entering and on leaving the author's range, and
# some per post returned.
PULLS: dict[str, tuple[int, Callable[[DocumentStore], Any]]] = {
    "few": (2 * 50 + 10, lambda s: s.posts.by_authors(AUTHORS, limit=5)),
    "few below": (2 * 50 + 10, lambda s: s.posts.by_authors(AUTHORS, before=MIDDLE, limit=5)),
    "few above": (2 * 50 + 10, lambda s: s.posts.by_authors(AUTHORS, after=MIDDLE, limit=5)),
    "many": (2 * 550 + 20, lambda s: s.posts.by_authors(ALL, limit=5)),
    "many below": (2 * 550 + 20, lambda s: s.posts.by_authors(ALL, before=MIDDLE, limit=5)),
    "many above": (2 * 550 + 20, lambda s: s.posts.by_authors(ALL, after=MIDDLE, limit=5)),
    "strangers": (2 * 500, lambda s: s.posts.by_authors(ALL[50:], limit=5)),
    "in flight": (2 * 550 + 20, lambda s: s.posts.in_flight(ALL, limit=5)),
    "in flight by anybody": (10, lambda s: s.posts.in_flight(None, limit=5)),
}


@pytest.mark.parametrize("name", PULLS)
def test_pulling_does_not_read_every_post(
    store: DocumentStore, profiled: Callable[[], list[dict[str, Any]]], name: str
) -> None:
    most, pull = PULLS[name]
    pull(store)
    notes = [note for note in profiled() if "planSummary" in note]
    assert 0 < sum(note["keysExamined"] for note in notes) <= most < MANY


def test_the_server_refuses_collection_scans(client: MongoClient[dict[str, Any]], profiled: object) -> None:
    with pytest.raises(Exception, match="notablescan"):
        list(client.get_default_database()["posts"].find({"title": str(UUID(int=0))}))
