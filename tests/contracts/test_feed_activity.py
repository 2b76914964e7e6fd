"""The contract of the relational store: feed activity, that is reader states and low watermarks."""

from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

import pytest

from repositories.errors import Conflict, Invalid
from repositories.feed_records import ReaderState
from repositories.records import Follow, Like
from repositories.relational import RelationalStore, Transaction
from tests.contracts.money import MICROSECOND, SECOND, do, together
from tests.contracts.relational_store import NOW, account, login, register

LOW, HIGH = UUID(int=1 << 100), UUID(int=0xFF << 120)


def state(store: RelationalStore, reader: UUID) -> str:
    return store.feed_activity.reader_state(reader).state


def pull(store: RelationalStore, authors: Collection[UUID]) -> None:
    with store.transaction() as unit:
        for author in authors:
            unit.fanouts.pull(author, at=NOW, reason="shed")


def follow(store: RelationalStore, follower: UUID, authors: Collection[UUID], *, filled: bool = True) -> None:
    edges = [Follow(follower, author, NOW) for author in authors]
    with store.transaction() as unit:
        for edge in edges:
            unit.graph.follow(edge)
            if filled:
                unit.graph.filled(edge)


def dormant(store: RelationalStore, seen_at: datetime = NOW) -> UUID:
    """A new dormant reader."""
    reader = awake(store, seen_at)
    while state(store, reader) != "dormant":
        assert do(store, lambda unit: unit.feed_activity.sleep(seen_before=seen_at + MICROSECOND, limit=99)) != []
    return reader


def awake(store: RelationalStore, seen_at: datetime = NOW) -> UUID:
    one = account(created_at=seen_at)
    do(store, lambda unit: unit.accounts.add(one, login(one)))
    return one.id


def waking(store: RelationalStore) -> UUID:
    """A new waking reader, at generation 1."""
    reader = awake(store)
    assert do(store, lambda unit: unit.feed_activity.rebuild(reader, NOW)) is True
    return reader


def finish(store: RelationalStore, reader: UUID, generation: int, low_watermark: UUID | None) -> bool:
    with store.transaction() as unit:
        return unit.feed_activity.finish(reader, generation=generation, low_watermark=low_watermark)


def raise_low_watermark(store: RelationalStore, reader: UUID, low_watermark: UUID) -> None:
    with store.transaction() as unit:
        unit.feed_activity.raise_low_watermark(reader, low_watermark)


class TestReaderState:
    def test_a_new_account_is_awake_and_was_just_seen(self, relational: RelationalStore) -> None:
        assert relational.feed_activity.reader_state(awake(relational)) == ReaderState("awake", 0, NOW, None, ())

    def test_an_account_that_was_refused_has_no_reader(self, relational: RelationalStore) -> None:
        (known,) = register(relational)
        one = account(handle=relational.accounts.get([known])[known].handle)
        with pytest.raises(Conflict):
            do(relational, lambda unit: unit.accounts.add(one, login(one)))
        assert state(relational, one.id) == "dormant"

    def test_the_unknown_are_dormant(self, relational: RelationalStore) -> None:
        found = relational.feed_activity.reader_state(uuid4())
        assert (found.state, found.generation, found.low_watermark, found.pulled) == ("dormant", 0, None, ())
        assert found.seen_at < NOW

    def test_pulled_lists_pending_and_pulled_followees(self, relational: RelationalStore) -> None:
        reader, settled, pending, pulled, both, stranger, fan = register(relational, 7)
        follow(relational, reader, [settled, pulled])
        follow(relational, reader, [pending, both], filled=False)
        follow(relational, fan, [reader], filled=False)
        pull(relational, [pulled, both, stranger, fan, reader])
        assert relational.feed_activity.reader_state(reader).pulled == tuple(sorted([pending, pulled, both]))
        assert relational.feed_activity.reader_state(stranger).pulled == ()
        assert relational.feed_activity.reader_state(fan).pulled == (reader,)

    @pytest.mark.parametrize("strangers", [0, 1, 2, 20])
    @pytest.mark.parametrize("settled", [0, 1, 2, 20])
    def test_pulled_is_right_whichever_set_is_larger(
        self, new_relational: Callable[[], RelationalStore], strangers: int, settled: int
    ) -> None:
        store = new_relational()
        reader, first, second, *others = register(store, 3 + strangers + settled)
        follow(store, reader, [first, second, *others[strangers:]])
        pull(store, [first, second, *others[:strangers]])
        assert store.feed_activity.reader_state(reader).pulled == (first, second)

    def test_an_author_is_pulled_until_returned(self, relational: RelationalStore) -> None:
        reader, author = register(relational, 2)
        follow(relational, reader, [author])
        assert relational.feed_activity.reader_state(reader).pulled == ()
        pull(relational, [author])
        assert relational.feed_activity.reader_state(reader).pulled == (author,)
        assert do(relational, lambda unit: unit.fanouts.begin_return(author, NOW)) is True
        assert relational.feed_activity.reader_state(reader).pulled == (author,)
        assert do(relational, lambda unit: unit.fanouts.end_pull(author, changed_at=NOW)) is True
        assert relational.feed_activity.reader_state(reader).pulled == ()

    def test_a_follow_is_pulled_until_filled_or_ended(self, relational: RelationalStore) -> None:
        reader, first, second = register(relational, 3)
        follow(relational, reader, [first, second], filled=False)
        assert relational.feed_activity.reader_state(reader).pulled == (first, second)
        do(relational, lambda unit: unit.graph.filled(Follow(reader, first, NOW)))
        assert relational.feed_activity.reader_state(reader).pulled == (second,)
        do(relational, lambda unit: unit.graph.unfollow(reader, second))
        assert relational.feed_activity.reader_state(reader).pulled == ()


class TestSeen:
    def test_never_goes_backwards(self, relational: RelationalStore) -> None:
        reader = awake(relational)
        for at, kept in ((NOW, NOW), (NOW + SECOND, NOW + SECOND), (NOW, NOW + SECOND)):
            do(relational, lambda unit, at=at: unit.feed_activity.seen(reader, at))  # type: ignore[misc]  # default binds
            assert relational.feed_activity.reader_state(reader) == ReaderState("awake", 0, kept, None)

    def test_the_latest_of_concurrent_times_counts(self, relational: RelationalStore) -> None:
        reader = awake(relational)

        def see(number: int) -> None:
            do(relational, lambda unit: unit.feed_activity.seen(reader, NOW + SECOND * number))

        works = [partial(see, number) for number in (3, 7, 1, 5)]
        assert together(works) == [None] * 4
        assert relational.feed_activity.reader_state(reader).seen_at == NOW + SECOND * 7

    def test_does_not_wake(self, relational: RelationalStore) -> None:
        reader = dormant(relational)
        do(relational, lambda unit: unit.feed_activity.seen(reader, NOW + SECOND))
        assert relational.feed_activity.reader_state(reader) == ReaderState("dormant", 0, NOW + SECOND, None)

    def test_an_unknown_account_stays_unknown(self, relational: RelationalStore) -> None:
        stranger = uuid4()
        do(relational, lambda unit: unit.feed_activity.seen(stranger, NOW))
        assert do(relational, lambda unit: unit.feed_activity.wake(stranger, NOW)) is False
        assert do(relational, lambda unit: unit.feed_activity.rebuild(stranger, NOW)) is False
        assert finish(relational, stranger, 0, None) is False
        raise_low_watermark(relational, stranger, LOW)
        assert relational.feed_activity.reader_state(stranger).low_watermark is None


class TestSleep:
    def test_takes_readers_not_seen_since_oldest_first(self, new_relational: Callable[[], RelationalStore]) -> None:
        store = new_relational()
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

    def test_ties_are_by_id(self, new_relational: Callable[[], RelationalStore]) -> None:
        store = new_relational()
        readers = register(store, 5)
        for some in (readers[:2], readers[2:4], readers[4:]):
            found = do(store, lambda unit: unit.feed_activity.sleep(seen_before=NOW + SECOND, limit=2))
            assert sorted(found) == some

    def test_concurrent_calls_share_the_work(self, new_relational: Callable[[], RelationalStore]) -> None:
        store = new_relational()
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

    def test_a_limit_below_0_is_invalid(self, relational: RelationalStore) -> None:
        with pytest.raises(Invalid):
            do(relational, lambda unit: unit.feed_activity.sleep(seen_before=NOW, limit=-1))


class TestWake:
    def test_needs_a_dormant_reader(self, relational: RelationalStore) -> None:
        reader = dormant(relational)
        wakes = [do(relational, lambda unit: unit.feed_activity.wake(reader, NOW + SECOND)) for _ in range(2)]
        assert wakes == [True, False]
        assert relational.feed_activity.reader_state(reader) == ReaderState("waking", 1, NOW + SECOND, None)
        assert finish(relational, reader, 1, None) is True
        assert do(relational, lambda unit: unit.feed_activity.wake(reader, NOW + SECOND)) is False

    def test_never_sets_seen_at_back(self, relational: RelationalStore) -> None:
        reader = dormant(relational)
        do(relational, lambda unit: unit.feed_activity.wake(reader, NOW - SECOND))
        assert relational.feed_activity.reader_state(reader) == ReaderState("waking", 1, NOW, None)

    def test_one_of_concurrent_calls_wakes(self, relational: RelationalStore) -> None:
        for _ in range(4):
            reader = dormant(relational)
            wakes = together([lambda: do(relational, lambda unit: unit.feed_activity.wake(reader, NOW))] * 4)  # noqa: B023  - called in its iteration
            assert sorted(map(bool, wakes)) == [False, False, False, True]
            assert relational.feed_activity.reader_state(reader).generation == 1

    def test_rebuild_starts_from_any_state(self, relational: RelationalStore) -> None:
        for reader, generation in ((awake(relational), 1), (waking(relational), 2), (dormant(relational), 1)):
            rebuild = do(relational, lambda unit, one=reader: unit.feed_activity.rebuild(one, NOW + SECOND))  # type: ignore[misc]  # default binds
            assert rebuild is True
            assert relational.feed_activity.reader_state(reader) == ReaderState(
                "waking", generation, NOW + SECOND, None
            )

    def test_every_rebuild_is_a_generation(self, relational: RelationalStore) -> None:
        reader = awake(relational)
        works = [lambda: do(relational, lambda unit: unit.feed_activity.rebuild(reader, NOW))] * 4
        assert together(works) == [True] * 4
        assert relational.feed_activity.reader_state(reader).generation == 4

    def test_is_undone_with_its_transaction(self, relational: RelationalStore) -> None:
        reader = dormant(relational)

        def fail(unit: Transaction) -> None:
            unit.feed_activity.wake(reader, NOW)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(relational, fail)
        assert relational.feed_activity.reader_state(reader) == ReaderState("dormant", 0, NOW, None)


class TestFinish:
    @pytest.mark.parametrize("low_watermark", [None, LOW, HIGH])
    def test_sets_the_low_watermark_once(self, relational: RelationalStore, low_watermark: UUID | None) -> None:
        reader = waking(relational)
        ends = [finish(relational, reader, 1, low_watermark) for _ in range(2)]
        assert ends == [True, False]
        assert relational.feed_activity.reader_state(reader) == ReaderState("awake", 1, NOW, low_watermark)

    def test_lowers_the_low_watermark_of_a_former_generation(self, relational: RelationalStore) -> None:
        reader = awake(relational)
        raise_low_watermark(relational, reader, HIGH)
        for generation, low_watermark in ((1, LOW), (2, None)):
            do(relational, lambda unit: unit.feed_activity.rebuild(reader, NOW))
            assert finish(relational, reader, generation, low_watermark) is True
            assert relational.feed_activity.reader_state(reader).low_watermark == low_watermark

    @pytest.mark.parametrize("generation", [0, 2])
    def test_needs_the_current_generation(self, relational: RelationalStore, generation: int) -> None:
        reader = waking(relational)
        assert finish(relational, reader, generation, LOW) is False
        assert relational.feed_activity.reader_state(reader) == ReaderState("waking", 1, NOW, None)

    def test_needs_a_waking_reader(self, relational: RelationalStore) -> None:
        for reader in (awake(relational), dormant(relational)):
            before = relational.feed_activity.reader_state(reader)
            assert finish(relational, reader, 0, LOW) is False
            assert relational.feed_activity.reader_state(reader) == before


class TestLowWatermark:
    def test_only_rises(self, relational: RelationalStore) -> None:
        reader = awake(relational)
        ids = [UUID(int=top << 120 | 5) for top in (0x10, 0x00, 0x7F, 0x7F, 0x80, 0xFF, 0x80)]
        for number, low_watermark in enumerate(ids, 1):
            raise_low_watermark(relational, reader, low_watermark)
            assert relational.feed_activity.reader_state(reader) == ReaderState("awake", 0, NOW, max(ids[:number]))

    def test_the_highest_of_many_at_once_stays(self, relational: RelationalStore) -> None:
        reader, ids = awake(relational), [uuid4() for _ in range(4)]
        assert together([partial(raise_low_watermark, relational, reader, one) for one in ids]) == [None] * 4
        assert relational.feed_activity.reader_state(reader).low_watermark == max(ids)

    @pytest.mark.parametrize("low_watermark", [LOW, HIGH])
    def test_even_a_lower_one_gives_a_waking_reader_a_new_generation(
        self, relational: RelationalStore, low_watermark: UUID
    ) -> None:
        """The running fill does not know this low watermark, so it cannot finish in its generation any more."""
        reader, middle = awake(relational), UUID(int=0x80 << 120)
        raise_low_watermark(relational, reader, middle)
        do(relational, lambda unit: unit.feed_activity.rebuild(reader, NOW))
        raise_low_watermark(relational, reader, low_watermark)
        assert relational.feed_activity.reader_state(reader) == ReaderState(
            "waking", 2, NOW, max(middle, low_watermark)
        )
        assert finish(relational, reader, 1, None) is False
        assert finish(relational, reader, 2, None) is True

    def test_does_not_wake_the_reader(self, relational: RelationalStore) -> None:
        reader = dormant(relational)
        raise_low_watermark(relational, reader, LOW)
        assert relational.feed_activity.reader_state(reader) == ReaderState("dormant", 0, NOW, LOW)

    def test_is_not_lost_beside_a_concurrent_finish(self, relational: RelationalStore) -> None:
        for _ in range(10):
            reader = waking(relational)
            works: list[Callable[[], bool | None]] = [
                partial(finish, relational, reader, 1, LOW),
                partial(raise_low_watermark, relational, reader, HIGH),
            ]
            finished, raised = together(works)
            assert raised is None
            expected = ReaderState("awake", 1, NOW, HIGH) if finished else ReaderState("waking", 2, NOW, HIGH)
            assert relational.feed_activity.reader_state(reader) == expected


class TestCounts:
    """The counts of a reader state, against which cached pages of feeds are checked."""

    def test_the_revision_counts_what_the_reader_follows_and_likes(self, relational: RelationalStore) -> None:
        reader, author, other = awake(relational), awake(relational), awake(relational)
        changes: list[Callable[[Transaction], object]] = [
            lambda unit: unit.graph.follow(Follow(reader, author, NOW)),
            lambda unit: unit.graph.filled(Follow(reader, author, NOW)),
            lambda unit: unit.likes.like(Like(reader, other, NOW)),
            lambda unit: unit.likes.unlike(reader, other),
            lambda unit: unit.graph.unfollow(reader, author),
            lambda unit: unit.feed_activity.revise(reader),
        ]
        others = [relational.feed_activity.reader_state(one).revision for one in (author, other)]
        for change in changes:
            before = relational.feed_activity.reader_state(reader).revision
            do(relational, change)
            assert relational.feed_activity.reader_state(reader).revision > before
        assert [relational.feed_activity.reader_state(one).revision for one in (author, other)] == others

    def test_repeated_commands_do_not_change_the_revision(self, relational: RelationalStore) -> None:
        reader, author = awake(relational), awake(relational)
        follow(relational, reader, [author])
        do(relational, lambda unit: unit.likes.like(Like(reader, author, NOW)))
        before = relational.feed_activity.reader_state(reader).revision
        do(relational, lambda unit: unit.graph.follow(Follow(reader, author, NOW)))
        do(relational, lambda unit: unit.likes.like(Like(reader, author, NOW)))
        do(relational, lambda unit: unit.graph.unfollow(author, reader))
        assert relational.feed_activity.reader_state(reader).revision == before

    def test_every_reader_sees_the_counts_of_published_and_lost(self, relational: RelationalStore) -> None:
        readers = [awake(relational), awake(relational)]
        before = [relational.feed_activity.reader_state(one) for one in readers]
        do(relational, lambda unit: unit.fanouts.count_published(readers[0]))
        do(relational, lambda unit: unit.fanouts.count_published(readers[1]))
        do(relational, lambda unit: unit.fanouts.lose())
        after = [relational.feed_activity.reader_state(one) for one in readers]
        assert all(b.published + 2 <= a.published for b, a in zip(before, after, strict=True))
        assert all(b.lost + 1 <= a.lost for b, a in zip(before, after, strict=True))

    def test_reader_state_names_the_followed_authors(self, relational: RelationalStore) -> None:
        reader, author, stranger = awake(relational), awake(relational), awake(relational)
        follow(relational, reader, [author])
        found = relational.feed_activity.reader_state(reader, [author, stranger, reader])
        assert (found.followed, found.pulled) == ((author,), ())
