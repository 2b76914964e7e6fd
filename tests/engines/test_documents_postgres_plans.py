"""Every statement of the documents role uses an index of PostgreSQL, and examines little more than it returns.

Each statement is explained with its values right before it is sent, by an execution that is rolled back.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import replace

from repositories.documents import DocumentStore, open_store
from tests.contracts.document_store import (
    a_comment,
    a_post,
    a_product,
    an_event,
    commented,
    edited,
    offered,
    published,
)
from tests.contracts.relational_store import new_database
from tests.engines import Shared
from tests.engines.explained import Explained, explained, nodes, rows
from tests.engines.test_documents_plans import MANY, MIDDLE, POST, PRODUCTS, PULLS, READS, fill

# The maximum of sorted rows: those of a page or a batch, one for each author, or the values of facets.
SORTED = 700
# Rows that are locked first are examined twice. For prices, the planner assumes no correlation with the age of products
# and reads the newest until the page is full; here prices rise with the age.
MORE = {"recount": MANY + 60, "settle": 60, "price": MANY}


def change(store: DocumentStore) -> None:
    post, product = published(store, tags=("a", "b")), offered(store, attributes={"a": 1})
    edited(store, post, tags=("c",))
    number = commented(store, post).number
    store.comments.delete(post.id, number, an_event())
    store.products.replace(replace(product, version=2), an_event(), if_version=1)
    store.products.delete(product.id, an_event(), if_version=2)
    store.posts.delete(post.id, an_event(), if_version=2)


def load(store: DocumentStore) -> None:
    post = a_post(tags=("a", "b"))
    store.posts.load([post])
    store.comments.load([a_comment(post.id, 1), a_comment(post.id, 2)])
    store.products.load([a_product(attributes={"a": 1, "b": 2})])


def count_views(store: DocumentStore) -> None:
    store.views.apply(1, {POST: 2, MIDDLE: 1})
    store.views.counts([POST, MIDDLE])
    store.views.forget(POST)


OTHERS: dict[str, tuple[int, Callable[[DocumentStore], Any]]] = {
    "changes": (30, change),
    "loads": (10, load),
    "views": (3, count_views),
    "buried": (3, lambda s: s.posts.buried([POST, MIDDLE, uuid4()])),
    "products by id": (3, lambda s: s.products.get([PRODUCTS[0].id, uuid4()])),
}


@pytest.fixture(scope="module")
def store(engines: Shared) -> Iterator[DocumentStore]:
    url = new_database(engines.postgres())
    with closing(open_store(url, timeout=timedelta(seconds=5), pool=2)) as store:
        store.migrate()
        fill(store)
        with psycopg.connect(url, autocommit=True) as own:
            own.execute("VACUUM ANALYZE")
        yield store


@pytest.fixture
def plans(store: DocumentStore, monkeypatch: pytest.MonkeyPatch) -> list[Explained]:
    return explained(monkeypatch)


def looked_at(plans: list[Explained], *kinds: str) -> int:
    return sum(rows(node) for _, plan in plans for node in nodes(plan) if node["Node Type"] in kinds)


@pytest.mark.parametrize("name", READS | OTHERS)
def test_statements_use_an_index(store: DocumentStore, plans: list[Explained], name: str) -> None:
    most, read = (READS | OTHERS)[name]
    read(store)
    every = [node for _, plan in plans for node in nodes(plan)]
    assert every
    assert [node for node in every if node["Node Type"] == "Seq Scan"] == []
    assert [node for node in every if node["Node Type"] == "Sort" and rows(node) > SORTED] == []
    assert looked_at(plans, "Index Scan", "Bitmap Heap Scan") <= MORE.get(name, most)


@pytest.mark.parametrize("name", PULLS)
def test_pulling_does_not_read_every_post(store: DocumentStore, plans: list[Explained], name: str) -> None:
    most, pull = PULLS[name]
    pull(store)
    assert looked_at(plans, "Index Scan", "Index Only Scan", "Bitmap Index Scan") <= most < MANY


def test_a_statement_without_an_index_is_detected(store: Any, plans: list[Explained]) -> None:
    store._database.rows("SELECT id FROM documents_posts WHERE document = ?", (b"",))
    assert [node["Node Type"] for node in nodes(plans[0][1])] == ["Seq Scan"]


def test_isolation_and_synchronous_commit_are_those_of_the_consistency_page(store: Any) -> None:
    asked = "SELECT current_setting('transaction_isolation'), current_setting('synchronous_commit')"
    with store._database.write() as work:
        assert work.execute(asked).fetchall() == [("read committed", "on")]
    assert store._database.rows(asked) == [("read committed", "on")]
