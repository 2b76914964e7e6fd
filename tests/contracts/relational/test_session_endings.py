"""The contract of endings: records that sessions were ended, from which a session store repeats what it has lost."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from repositories.records.people import Ending
from repositories.relational import RelationalStore
from tests.contracts.relational_store import NOW

SECOND = timedelta(seconds=1)


@pytest.fixture
def store(new_store: Callable[[], RelationalStore]) -> RelationalStore:
    """An empty store for each test."""
    return new_store()


def noted(store: RelationalStore, second: int, *, only: bool = True, lasts: int = 60) -> Ending:
    at = NOW + second * SECOND
    session, kept = (uuid4(), None) if only else (None, uuid4())
    made = Ending(uuid4(), uuid4(), session, kept, at - SECOND, at, at + lasts * SECOND)
    with store.transaction() as tx:
        tx.endings.add(made)
    return made


def since(store: RelationalStore, second: int, after: UUID | None = None, limit: int = 99) -> list[Ending]:
    return list(store.endings.since(NOW + second * SECOND, after=after, limit=limit))


def test_endings_are_read_oldest_first(store: RelationalStore) -> None:
    second, first, third = noted(store, 2, only=False), noted(store, 1), noted(store, 3)
    assert since(store, 0) == [first, second, third]
    assert since(store, 2) == [second, third]
    assert since(store, 4) == []


def test_an_ending_is_found_by_its_account_and_its_id(store: RelationalStore) -> None:
    made = noted(store, 1)
    assert store.endings.get(made.account_id, made.id) == made
    assert store.endings.get(made.account_id, uuid4()) is None
    assert store.endings.get(uuid4(), made.id) is None


def test_pages_neither_repeat_nor_miss_endings_of_one_time(store: RelationalStore) -> None:
    made = sorted((noted(store, 1) for _ in range(5)), key=lambda ending: ending.id)
    found: list[Ending] = []
    at, after = 0, None
    while page := since(store, at, after, 2):
        found += page
        at, after = 1, page[-1].id
    assert found == made


def test_endings_of_expired_sessions_are_removed(store: RelationalStore) -> None:
    kept, *_ = noted(store, 1), noted(store, 2, lasts=1), noted(store, 3, lasts=1)
    with store.transaction() as tx:
        assert tx.endings.sweep(before=NOW + 4 * SECOND, limit=1) == 1
        assert tx.endings.sweep(before=NOW + 4 * SECOND, limit=9) == 1
    assert since(store, 0) == [kept]
