"""The contract of the documents role: backups."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from repositories.documents import DocumentStore
from tests.contracts.document_store import (
    NOW,
    TEXTS,
    a_post,
    an_event,
    commented,
    dispatch_all,
    edited,
    offered,
    opened,
    published,
)

Records = dict[str, list[Any]]


@pytest.fixture
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DocumentStore]:
    """An embedded store with data of every kind."""
    (tmp_path / "other").mkdir()
    for made in opened("embedded", request, tmp_path / "other"):
        add_everything(made)
        yield made


def add_everything(store: DocumentStore) -> None:
    """Add documents without events, with events, with a postponed event and with a dead letter, and tombstones."""
    texts = tuple(dict.fromkeys(TEXTS))
    store.posts.load([a_post(tags=("lamps",), body=text) for text in texts])
    post = edited(store, published(store, tags=texts, title="\0"), tags=("lamps", "\0"))
    values = {"a": "\0", "z": 1, "b": 1.0, "y": 1e16, "x": True, "w": -(2**63)}
    product, gone = offered(store, attributes=values), offered(store)
    commented(store, post)
    bury = commented(store, post)
    store.comments.delete(post.id, bury.number, an_event())
    store.products.delete(gone.id, an_event(gone.id), if_version=gone.version)
    dead = published(store)
    commented(store, dead)
    store.posts.delete(dead.id, an_event(dead.id), if_version=dead.version)
    store.views.apply(3, {post.id: 2, product.id: 1})
    claims = store.outbox.claim(now=NOW, lease_until=NOW + timedelta(hours=1), limit=2)
    store.outbox.dead_letter(claims[0], reason="\0", attempts=4, now=NOW)
    store.outbox.postpone(claims[1], due=NOW + timedelta(minutes=1), attempts=2)


def dumped(store: DocumentStore) -> Records:
    with store.dump.snapshot() as frozen:
        return {kind.name: [one for batch in frozen.records(kind.name) for one in batch] for kind in store.dump.kinds}


def load(store: DocumentStore, records: Records, first: int | None = None) -> None:
    with store.dump.loading() as put:
        for kind in store.dump.kinds:
            if records[kind.name]:
                put(kind.name, records[kind.name][:first])


def test_a_loaded_dump_is_dumped_unchanged(store: DocumentStore, other: DocumentStore) -> None:
    records = dumped(other)
    assert all(records.values())
    assert store.dump.is_empty()
    load(store, records)
    assert dumped(store) == records
    assert not store.dump.is_empty()


def test_an_interrupted_load_is_continued(store: DocumentStore, other: DocumentStore) -> None:
    records = dumped(other)
    load(store, records, first=1)
    assert not store.dump.is_empty()
    load(store, records)
    assert dumped(store) == records


def test_loaded_documents_are_found_and_dispatched_as_before(store: DocumentStore, other: DocumentStore) -> None:
    load(store, dumped(other))
    assert store.posts.tags(after=None, limit=10) == other.posts.tags(after=None, limit=10)
    assert store.outbox.backlog() == other.outbox.backlog()
    assert store.outbox.dead_letters(limit=9) == other.outbox.dead_letters(limit=9)
    assert refs(store) == refs(other)
    later = NOW + timedelta(hours=2)
    assert {one.id for one in dispatch_all(store, later)} == {one.id for one in dispatch_all(other, later)}
    for one in (store, other):
        one.outbox.replay(None, now=later)
        dispatch_all(one, later)
    assert refs(store) == refs(other) == []
    assert dumped(store) == dumped(other)


def test_a_snapshot_stays_as_it_was(store: DocumentStore) -> None:
    post = published(store)
    with store.dump.snapshot() as frozen:
        later = published(store)
        commented(store, post)
        edited(store, post)
        found: list[Sequence[Any]] = [batch for kind in store.dump.kinds for batch in frozen.records(kind.name)]
    assert [[(one.id, one.version, len(one.events)) for one in batch] for batch in found] == [[(post.id, 1, 1)]]
    assert later.id in {one.id for one in dumped(store)["posts"]}


def refs(store: DocumentStore) -> list[Any]:
    return store.posts.in_flight(None, limit=99)
