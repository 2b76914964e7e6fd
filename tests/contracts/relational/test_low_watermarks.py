"""The contract of the relational store: low watermarks of home timelines."""

from collections.abc import Callable
from functools import partial
from uuid import UUID, uuid4

import pytest

from repositories.records.feeds import ReaderState
from repositories.relational import RelationalStore
from tests.contracts.relational.readers import HIGH, LOW, awake, dormant, finish, raise_low_watermark, waking
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import do, together


class TestFinish:
    @pytest.mark.parametrize("low_watermark", [None, LOW, HIGH])
    def test_sets_the_low_watermark_once(self, store: RelationalStore, low_watermark: UUID | None) -> None:
        reader = waking(store)
        ends = [finish(store, reader, 1, low_watermark) for _ in range(2)]
        assert ends == [True, False]
        assert store.feed_activity.reader_state(reader) == ReaderState("awake", 1, NOW, low_watermark)

    def test_lowers_the_low_watermark_of_a_former_generation(self, store: RelationalStore) -> None:
        reader = awake(store)
        raise_low_watermark(store, reader, HIGH)
        for generation, low_watermark in ((1, LOW), (2, None)):
            do(store, lambda unit: unit.feed_activity.rebuild(reader, NOW))
            assert finish(store, reader, generation, low_watermark) is True
            assert store.feed_activity.reader_state(reader).low_watermark == low_watermark

    @pytest.mark.parametrize("generation", [0, 2])
    def test_needs_the_current_generation(self, store: RelationalStore, generation: int) -> None:
        reader = waking(store)
        assert finish(store, reader, generation, LOW) is False
        assert store.feed_activity.reader_state(reader) == ReaderState("waking", 1, NOW, None)

    def test_needs_a_waking_reader(self, store: RelationalStore) -> None:
        for reader in (awake(store), dormant(store)):
            before = store.feed_activity.reader_state(reader)
            assert finish(store, reader, 0, LOW) is False
            assert store.feed_activity.reader_state(reader) == before


class TestLowWatermark:
    def test_only_rises(self, store: RelationalStore) -> None:
        reader = awake(store)
        ids = [UUID(int=top << 120 | 5) for top in (0x10, 0x00, 0x7F, 0x7F, 0x80, 0xFF, 0x80)]
        for number, low_watermark in enumerate(ids, 1):
            raise_low_watermark(store, reader, low_watermark)
            assert store.feed_activity.reader_state(reader) == ReaderState("awake", 0, NOW, max(ids[:number]))

    def test_the_highest_of_many_at_once_stays(self, store: RelationalStore) -> None:
        reader, ids = awake(store), [uuid4() for _ in range(4)]
        assert together([partial(raise_low_watermark, store, reader, one) for one in ids]) == [None] * 4
        assert store.feed_activity.reader_state(reader).low_watermark == max(ids)

    @pytest.mark.parametrize("low_watermark", [LOW, HIGH])
    def test_even_a_lower_one_gives_a_waking_reader_a_new_generation(
        self, store: RelationalStore, low_watermark: UUID
    ) -> None:
        """The running fill does not know this low watermark, so it cannot finish in its generation any more."""
        reader, middle = awake(store), UUID(int=0x80 << 120)
        raise_low_watermark(store, reader, middle)
        do(store, lambda unit: unit.feed_activity.rebuild(reader, NOW))
        raise_low_watermark(store, reader, low_watermark)
        assert store.feed_activity.reader_state(reader) == ReaderState("waking", 2, NOW, max(middle, low_watermark))
        assert finish(store, reader, 1, None) is False
        assert finish(store, reader, 2, None) is True

    def test_does_not_wake_the_reader(self, store: RelationalStore) -> None:
        reader = dormant(store)
        raise_low_watermark(store, reader, LOW)
        assert store.feed_activity.reader_state(reader) == ReaderState("dormant", 0, NOW, LOW)

    def test_is_not_lost_beside_a_concurrent_finish(self, store: RelationalStore) -> None:
        for _ in range(10):
            reader = waking(store)
            works: list[Callable[[], bool | None]] = [
                partial(finish, store, reader, 1, LOW),
                partial(raise_low_watermark, store, reader, HIGH),
            ]
            finished, raised = together(works)
            assert raised is None
            expected = ReaderState("awake", 1, NOW, HIGH) if finished else ReaderState("waking", 2, NOW, HIGH)
            assert store.feed_activity.reader_state(reader) == expected
