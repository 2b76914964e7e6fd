"""The contract of the documents role: the store as a whole."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from repositories.documents import DocumentStore, open_store
from repositories.errors import Invalid, Unavailable
from tests.contracts.document_store import (
    ADAPTERS,
    NOW,
    SURROGATE,
    TEXTS,
    TIMEOUT,
    a_post,
    a_product,
    an_event,
    at,
    commented,
    dispatch_all,
    edited,
    offered,
    published,
    url_of,
)
from tests.contracts.relational_store import new_database


@pytest.fixture(params=ADAPTERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, request, tmp_path)


def test_documents_are_there_after_reopening(url: str) -> None:
    with_everything = a_post(tags=("a",), product_ids=(uuid4(),))
    first = open_store(url, timeout=TIMEOUT, pool=2)
    first.migrate()
    first.posts.add(with_everything, an_event())
    comment = commented(first, with_everything)
    product = offered(first)
    first.close()
    second = open_store(url, timeout=TIMEOUT, pool=2)
    assert second.posts.get([with_everything.id]) == {with_everything.id: with_everything}
    assert second.comments.page(with_everything.id, after=None, limit=5) == [comment]
    assert second.products.get([product.id]) == {product.id: product}
    assert second.outbox.backlog().unsent >= 3
    second.close()


def test_a_closed_store_can_be_used_again(store: DocumentStore) -> None:
    post = published(store)
    store.close()
    store.close()
    assert store.posts.get([post.id]) == {post.id: post}


def test_migrating_again_changes_nothing(store: DocumentStore) -> None:
    assert store.migrate(dry_run=True) == []
    assert store.migrate() == []
    store.ping()


def test_a_dry_run_only_reports(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> None:
    new = url.replace("/documents", "/documents_new")
    if url.startswith("postgresql:"):
        new = new_database(request.getfixturevalue("engines").postgres())
    store = open_store(new, timeout=TIMEOUT, pool=2)
    steps = store.migrate(dry_run=True)
    assert steps
    assert store.migrate(dry_run=True) == steps
    assert store.migrate() == steps
    assert store.migrate() == []
    store.close()


def test_nothing_connects_before_use() -> None:
    for url in ("mongodb://127.0.0.1:1/quartet", "postgresql://127.0.0.1:1/quartet", "sqlite:////nowhere/at/all.db"):
        store = open_store(url, timeout=timedelta(milliseconds=100), pool=1)
        with pytest.raises(Unavailable):
            store.ping()
        store.close()


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_as_it_was(store: DocumentStore, text: str) -> None:
    post = published(store, title=text, body=text * 3, tags=(text, "plain"), product_ids=(uuid4(), uuid4()))
    assert store.posts.get([post.id]) == {post.id: post}
    assert store.posts.page(before=None, limit=5, tag=text) == [post]
    assert [found.tag for found in store.posts.tags(after=None, limit=5)] == sorted({text, "plain"})
    assert store.posts.page(before=None, limit=5, tag=text + "x") == []


def test_times_keep_their_microseconds(store: DocumentStore) -> None:
    times = [at(0.000001), NOW.replace(year=1969), NOW.replace(year=1), NOW.replace(year=9999)]
    posts = [published(store, created_at=time, updated_at=time) for time in times]
    found = store.posts.get([post.id for post in posts])
    assert [found[post.id].created_at for post in posts] == times


def test_the_largest_integers_fit(store: DocumentStore) -> None:
    post = published(store, version=2**63 - 1)
    assert store.posts.get([post.id])[post.id].version == 2**63 - 1
    store.posts.delete(post.id, an_event(), if_version=2**63 - 1)


INVALID: list[Callable[[DocumentStore], Any]] = [
    lambda store: published(store, title=SURROGATE),
    lambda store: published(store, body="ok" + SURROGATE),
    lambda store: published(store, tags=(SURROGATE,)),
    lambda store: published(store, version=2**63),
    lambda store: published(store, version=-(2**63) - 1),
    lambda store: edited(store, published(store), title=SURROGATE),
    lambda store: edited(store, published(store), version=2**63),
    lambda store: store.posts.add(a_post(), an_event(SURROGATE)),
    lambda store: store.posts.load([a_post(title=SURROGATE)]),
    lambda store: store.posts.page(before=None, limit=1, tag=SURROGATE),
    lambda store: store.posts.tags(after=SURROGATE, limit=1),
    lambda store: commented(store, published(store), SURROGATE),
    lambda store: offered(store, title=SURROGATE),
    lambda store: offered(store, attributes={SURROGATE: 1}),
    lambda store: offered(store, attributes={"a": SURROGATE}),
    lambda store: offered(store, attributes={"a": 2**63}),
    lambda store: offered(store, attributes={"a": 2**65}),
    lambda store: store.products.load([a_product(attributes={"a": -(2**63) - 1})]),
]


@pytest.mark.parametrize("write", INVALID)
def test_values_that_no_store_can_hold_are_invalid(store: DocumentStore, write: Callable[[DocumentStore], Any]) -> None:
    with pytest.raises(Invalid):
        write(store)
    dispatch_all(store)
    assert store.outbox.backlog().unsent == 0
