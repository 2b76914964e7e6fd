"""The contract of levels (samples of how full resources are), on both relational adapters."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from repositories.relational import RelationalStore
from repositories.relational.levels_port import LevelSample
from tests.contracts.relational_store import NOW

HOUR = timedelta(hours=1)


@pytest.fixture
def store(new_store: Callable[[], RelationalStore]) -> RelationalStore:
    """An empty store for each test."""
    return new_store()


def note(store: RelationalStore, *samples: LevelSample) -> None:
    with store.transaction() as tx:
        tx.levels.note(samples, forget=NOW)


def test_the_first_sample_of_a_level_and_time_is_kept(store: RelationalStore) -> None:
    early, late = LevelSample("b", NOW, 1), LevelSample("b", NOW + HOUR, 2, 10)
    other = LevelSample("a", NOW + HOUR, 10**15)
    note(store, late, other)
    note(store, early, LevelSample("b", NOW + HOUR, 7))
    assert store.levels.since(NOW) == [other, early, late]
    assert store.levels.since(NOW + HOUR) == [other, late]
    assert store.levels.since(NOW + 2 * HOUR) == []


def test_earlier_samples_are_removed(store: RelationalStore) -> None:
    note(store, LevelSample("a", NOW, 1), LevelSample("a", NOW + HOUR, 2))
    with store.transaction() as tx:
        tx.levels.note([], forget=NOW + HOUR)
    assert store.levels.since(NOW) == [LevelSample("a", NOW + HOUR, 2)]
