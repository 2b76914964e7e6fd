"""The contract of the relational store: reader states, when readers were last seen, and revisions of feeds."""

from collections.abc import Callable
from functools import partial
from uuid import uuid4

import pytest

from repositories.errors import Conflict
from repositories.records.feeds import ReaderState
from repositories.records.graph import Follow, Like
from repositories.relational import RelationalStore, Transaction
from tests.contracts.relational.readers import LOW, awake, dormant, finish, follow, pull, raise_low_watermark, state
from tests.contracts.relational_store import NOW, account, login, register
from tests.contracts.transactions import SECOND, do, together


class TestReaderState:
    def test_a_new_account_is_awake_and_was_just_seen(self, store: RelationalStore) -> None:
        assert store.feed_activity.reader_state(awake(store)) == ReaderState("awake", 0, NOW, None, ())

    def test_an_account_that_was_refused_has_no_reader(self, store: RelationalStore) -> None:
        (known,) = register(store)
        one = account(handle=store.accounts.get([known])[known].handle)
        with pytest.raises(Conflict):
            do(store, lambda unit: unit.accounts.add(one, login(one)))
        assert state(store, one.id) == "dormant"

    def test_the_unknown_are_dormant(self, store: RelationalStore) -> None:
        found = store.feed_activity.reader_state(uuid4())
        assert (found.state, found.generation, found.low_watermark, found.pulled) == ("dormant", 0, None, ())
        assert found.seen_at < NOW

    def test_pulled_lists_pending_and_pulled_followees(self, store: RelationalStore) -> None:
        reader, settled, pending, pulled, both, stranger, fan = register(store, 7)
        follow(store, reader, [settled, pulled])
        follow(store, reader, [pending, both], filled=False)
        follow(store, fan, [reader], filled=False)
        pull(store, [pulled, both, stranger, fan, reader])
        assert store.feed_activity.reader_state(reader).pulled == tuple(sorted([pending, pulled, both]))
        assert store.feed_activity.reader_state(stranger).pulled == ()
        assert store.feed_activity.reader_state(fan).pulled == (reader,)

    @pytest.mark.parametrize("strangers", [0, 1, 2, 20])
    @pytest.mark.parametrize("settled", [0, 1, 2, 20])
    def test_pulled_is_right_whichever_set_is_larger(
        self, new_store: Callable[[], RelationalStore], strangers: int, settled: int
    ) -> None:
        store = new_store()
        reader, first, second, *others = register(store, 3 + strangers + settled)
        follow(store, reader, [first, second, *others[strangers:]])
        pull(store, [first, second, *others[:strangers]])
        assert store.feed_activity.reader_state(reader).pulled == (first, second)

    def test_an_author_is_pulled_until_returned(self, store: RelationalStore) -> None:
        reader, author = register(store, 2)
        follow(store, reader, [author])
        assert store.feed_activity.reader_state(reader).pulled == ()
        pull(store, [author])
        assert store.feed_activity.reader_state(reader).pulled == (author,)
        assert do(store, lambda unit: unit.fanouts.begin_return(author, NOW)) is True
        assert store.feed_activity.reader_state(reader).pulled == (author,)
        assert do(store, lambda unit: unit.fanouts.end_pull(author, changed_at=NOW)) is True
        assert store.feed_activity.reader_state(reader).pulled == ()

    def test_a_follow_is_pulled_until_filled_or_ended(self, store: RelationalStore) -> None:
        reader, first, second = register(store, 3)
        follow(store, reader, [first, second], filled=False)
        assert store.feed_activity.reader_state(reader).pulled == (first, second)
        do(store, lambda unit: unit.graph.filled(Follow(reader, first, NOW)))
        assert store.feed_activity.reader_state(reader).pulled == (second,)
        do(store, lambda unit: unit.graph.unfollow(reader, second))
        assert store.feed_activity.reader_state(reader).pulled == ()


class TestSeen:
    def test_never_goes_backwards(self, store: RelationalStore) -> None:
        reader = awake(store)
        for at, kept in ((NOW, NOW), (NOW + SECOND, NOW + SECOND), (NOW, NOW + SECOND)):
            do(store, lambda unit, at=at: unit.feed_activity.seen(reader, at))  # type: ignore[misc]  # default binds
            assert store.feed_activity.reader_state(reader) == ReaderState("awake", 0, kept, None)

    def test_the_latest_of_concurrent_times_counts(self, store: RelationalStore) -> None:
        reader = awake(store)

        def see(number: int) -> None:
            do(store, lambda unit: unit.feed_activity.seen(reader, NOW + SECOND * number))

        works = [partial(see, number) for number in (3, 7, 1, 5)]
        assert together(works) == [None] * 4
        assert store.feed_activity.reader_state(reader).seen_at == NOW + SECOND * 7

    def test_does_not_wake(self, store: RelationalStore) -> None:
        reader = dormant(store)
        do(store, lambda unit: unit.feed_activity.seen(reader, NOW + SECOND))
        assert store.feed_activity.reader_state(reader) == ReaderState("dormant", 0, NOW + SECOND, None)

    def test_an_unknown_account_stays_unknown(self, store: RelationalStore) -> None:
        stranger = uuid4()
        do(store, lambda unit: unit.feed_activity.seen(stranger, NOW))
        assert do(store, lambda unit: unit.feed_activity.wake(stranger, NOW)) is False
        assert do(store, lambda unit: unit.feed_activity.rebuild(stranger, NOW)) is False
        assert finish(store, stranger, 0, None) is False
        raise_low_watermark(store, stranger, LOW)
        assert store.feed_activity.reader_state(stranger).low_watermark is None


class TestCounts:
    """The counts of a reader state, against which cached pages of feeds are checked."""

    def test_the_revision_counts_what_the_reader_follows_and_likes(self, store: RelationalStore) -> None:
        reader, author, other = awake(store), awake(store), awake(store)
        changes: list[Callable[[Transaction], object]] = [
            lambda unit: unit.graph.follow(Follow(reader, author, NOW)),
            lambda unit: unit.graph.filled(Follow(reader, author, NOW)),
            lambda unit: unit.likes.like(Like(reader, other, NOW)),
            lambda unit: unit.likes.unlike(reader, other),
            lambda unit: unit.graph.unfollow(reader, author),
            lambda unit: unit.feed_activity.revise(reader),
        ]
        others = [store.feed_activity.reader_state(one).revision for one in (author, other)]
        for change in changes:
            before = store.feed_activity.reader_state(reader).revision
            do(store, change)
            assert store.feed_activity.reader_state(reader).revision > before
        assert [store.feed_activity.reader_state(one).revision for one in (author, other)] == others

    def test_repeated_commands_do_not_change_the_revision(self, store: RelationalStore) -> None:
        reader, author = awake(store), awake(store)
        follow(store, reader, [author])
        do(store, lambda unit: unit.likes.like(Like(reader, author, NOW)))
        before = store.feed_activity.reader_state(reader).revision
        do(store, lambda unit: unit.graph.follow(Follow(reader, author, NOW)))
        do(store, lambda unit: unit.likes.like(Like(reader, author, NOW)))
        do(store, lambda unit: unit.graph.unfollow(author, reader))
        assert store.feed_activity.reader_state(reader).revision == before

    def test_every_reader_sees_the_counts_of_published_and_lost(self, store: RelationalStore) -> None:
        readers = [awake(store), awake(store)]
        before = [store.feed_activity.reader_state(one) for one in readers]
        do(store, lambda unit: unit.fanouts.count_published(readers[0]))
        do(store, lambda unit: unit.fanouts.count_published(readers[1]))
        do(store, lambda unit: unit.fanouts.lose())
        after = [store.feed_activity.reader_state(one) for one in readers]
        assert all(b.published + 2 <= a.published for b, a in zip(before, after, strict=True))
        assert all(b.lost + 1 <= a.lost for b, a in zip(before, after, strict=True))

    def test_reader_state_names_the_followed_authors(self, store: RelationalStore) -> None:
        reader, author, stranger = awake(store), awake(store), awake(store)
        follow(store, reader, [author])
        found = store.feed_activity.reader_state(reader, [author, stranger, reader])
        assert (found.followed, found.pulled) == ((author,), ())
