"""The contract of the relational store: readers become dormant and wake again."""

from collections.abc import Callable
from uuid import UUID

import pytest

from repositories.errors import Invalid
from repositories.records.feeds import ReaderState
from repositories.relational import RelationalStore, Transaction
from tests.contracts.relational.readers import awake, dormant, finish, state, waking
from tests.contracts.relational_store import NOW, register
from tests.contracts.transactions import MICROSECOND, SECOND, do, together


class TestSleep:
    def test_takes_readers_not_seen_since_oldest_first(self, new_store: Callable[[], RelationalStore]) -> None:
        store = new_store()
        readers = [awake(store, NOW + MICROSECOND * number) for number in range(6)]
        do(store, lambda unit: unit.feed_activity.seen(readers[0], NOW + SECOND))
        do(store, lambda unit: unit.feed_activity.rebuild(readers[1], NOW))

        def sleep(limit: int) -> set[UUID]:
            before = NOW + MICROSECOND * 5
            return set(do(store, lambda unit: unit.feed_activity.sleep(seen_before=before, limit=limit)))

        assert sleep(0) == set()
        assert sleep(2) == set(readers[2:4])
        assert sleep(9) == {readers[4]}
        assert sleep(9) == set()
        states = [state(store, reader) for reader in readers]
        assert states == ["awake", "waking", "dormant", "dormant", "dormant", "awake"]

    def test_ties_are_by_id(self, new_store: Callable[[], RelationalStore]) -> None:
        store = new_store()
        readers = register(store, 5)
        for some in (readers[:2], readers[2:4], readers[4:]):
            found = do(store, lambda unit: unit.feed_activity.sleep(seen_before=NOW + SECOND, limit=2))
            assert sorted(found) == some

    def test_concurrent_calls_share_the_work(self, new_store: Callable[[], RelationalStore]) -> None:
        store = new_store()
        readers = register(store, 12)
        sleep: Callable[[Transaction], list[UUID]] = lambda unit: unit.feed_activity.sleep(  # noqa: E731  - run thrice
            seen_before=NOW + SECOND, limit=4
        )
        found = together([lambda: do(store, sleep)] * 3)
        taken = [one for some in found if isinstance(some, list) for one in some]
        assert len(taken) == len(set(taken))
        while some := do(store, sleep):
            taken += some
        assert sorted(taken) == readers

    def test_a_limit_below_0_is_invalid(self, store: RelationalStore) -> None:
        with pytest.raises(Invalid):
            do(store, lambda unit: unit.feed_activity.sleep(seen_before=NOW, limit=-1))


class TestWake:
    def test_needs_a_dormant_reader(self, store: RelationalStore) -> None:
        reader = dormant(store)
        wakes = [do(store, lambda unit: unit.feed_activity.wake(reader, NOW + SECOND)) for _ in range(2)]
        assert wakes == [True, False]
        assert store.feed_activity.reader_state(reader) == ReaderState("waking", 1, NOW + SECOND, None)
        assert finish(store, reader, 1, None) is True
        assert do(store, lambda unit: unit.feed_activity.wake(reader, NOW + SECOND)) is False

    def test_never_sets_seen_at_back(self, store: RelationalStore) -> None:
        reader = dormant(store)
        do(store, lambda unit: unit.feed_activity.wake(reader, NOW - SECOND))
        assert store.feed_activity.reader_state(reader) == ReaderState("waking", 1, NOW, None)

    def test_one_of_concurrent_calls_wakes(self, store: RelationalStore) -> None:
        for _ in range(4):
            reader = dormant(store)
            wakes = together([lambda: do(store, lambda unit: unit.feed_activity.wake(reader, NOW))] * 4)  # noqa: B023  - called in its iteration
            assert sorted(map(bool, wakes)) == [False, False, False, True]
            assert store.feed_activity.reader_state(reader).generation == 1

    def test_rebuild_starts_from_any_state(self, store: RelationalStore) -> None:
        for reader, generation in ((awake(store), 1), (waking(store), 2), (dormant(store), 1)):
            rebuild = do(store, lambda unit, one=reader: unit.feed_activity.rebuild(one, NOW + SECOND))  # type: ignore[misc]  # default binds
            assert rebuild is True
            assert store.feed_activity.reader_state(reader) == ReaderState("waking", generation, NOW + SECOND, None)

    def test_every_rebuild_is_a_generation(self, store: RelationalStore) -> None:
        reader = awake(store)
        works = [lambda: do(store, lambda unit: unit.feed_activity.rebuild(reader, NOW))] * 4
        assert together(works) == [True] * 4
        assert store.feed_activity.reader_state(reader).generation == 4

    def test_is_undone_with_its_transaction(self, store: RelationalStore) -> None:
        reader = dormant(store)

        def fail(unit: Transaction) -> None:
            unit.feed_activity.wake(reader, NOW)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(store, fail)
        assert store.feed_activity.reader_state(reader) == ReaderState("dormant", 0, NOW, None)
