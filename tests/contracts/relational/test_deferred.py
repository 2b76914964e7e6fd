"""The contract of deferred work, on both relational adapters."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from repositories.relational import RelationalStore
from tests.contracts.relational_store import NOW

SECOND = timedelta(seconds=1)


@pytest.fixture
def store(new_store: Callable[[], RelationalStore]) -> RelationalStore:
    """An empty store for each test."""
    return new_store()


def put(store: RelationalStore, work: dict[bytes, bytes], seconds: int = 0) -> None:
    with store.transaction() as tx:
        tx.deferred.put(work, at=NOW + SECOND * seconds)


def kept(store: RelationalStore, limit: int = 9) -> list[tuple[bytes, bytes]]:
    return [(one.key, one.body) for one in store.deferred.first(limit=limit)]


def test_the_oldest_come_first(store: RelationalStore) -> None:
    put(store, {})
    assert kept(store) == []
    put(store, {b"late": b""}, 2)
    put(store, {b"\x00early\xff": b"\x00\xff"}, 1)
    assert kept(store) == [(b"\x00early\xff", b"\x00\xff"), (b"late", b"")]
    assert kept(store, 1) == [(b"\x00early\xff", b"\x00\xff")]
    assert store.deferred.first(limit=1)[0].at == NOW + SECOND


def test_the_backlog_counts_deferred_work(store: RelationalStore) -> None:
    before = store.outbox.backlog()
    with store.transaction() as tx:
        tx.deferred.put({b"a": b"", b"b": b""}, at=NOW)
    assert store.outbox.backlog() == replace(before, deferred=before.deferred + 2)


def test_work_that_is_deferred_twice_is_stored_once(store: RelationalStore) -> None:
    put(store, {b"a": b"1", b"b": b"1"})
    put(store, {b"a": b"2"}, 1)
    assert kept(store) == [(b"b", b"1"), (b"a", b"2")]


def test_done_leaves_work_that_was_deferred_again_meanwhile(store: RelationalStore) -> None:
    put(store, {b"a": b"", b"b": b""})
    taken = [one.token for one in store.deferred.first(limit=9)]
    put(store, {b"a": b""})
    for _ in range(2):
        with store.transaction() as tx:
            tx.deferred.done(taken)
            tx.deferred.done([])
        assert kept(store) == [(b"a", b"")]


def test_work_is_deferred_if_its_transaction_commits(store: RelationalStore) -> None:
    def interrupted() -> None:
        with store.transaction() as tx:
            tx.deferred.put({b"a": b""}, at=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert kept(store) == []
