"""The contract of the relational store: pulled authors and their postponed fan-outs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Invalid
from repositories.records.feeds import PulledAuthor
from repositories.relational import RelationalStore
from tests.contracts.relational.fanout_records import (
    ENDS,
    LATER,
    begin_return,
    end_pull,
    fanout,
    postpone,
    pull,
    pulled,
    save,
)
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import MICROSECOND, SECOND, together


class TestPulledAuthors:
    def test_pulling_again_changes_nothing(self, store: RelationalStore) -> None:
        author = uuid4()
        pull(store, author)
        pull(store, author, LATER, "threshold")
        assert pulled(store, author) == PulledAuthor(author, "pulled", "shed", NOW)

    def test_a_returning_author_is_pulled_again(self, store: RelationalStore) -> None:
        author = uuid4()
        assert begin_return(store, author) is False
        pull(store, author)
        assert [begin_return(store, author, LATER), begin_return(store, author, NOW)] == [True, False]
        assert pulled(store, author) == PulledAuthor(author, "returning", "shed", LATER)
        pull(store, author, LATER + SECOND, "threshold")
        assert pulled(store, author) == PulledAuthor(author, "pulled", "threshold", LATER + SECOND)
        assert end_pull(store, author, LATER) is False
        assert end_pull(store, author, LATER + SECOND) is False

    def test_ends_only_with_the_time_of_the_return(self, store: RelationalStore) -> None:
        author = uuid4()
        assert end_pull(store, author) is False
        pull(store, author)
        assert end_pull(store, author) is False
        begin_return(store, author, LATER)
        for moment in (NOW, LATER - MICROSECOND, LATER + MICROSECOND):
            assert end_pull(store, author, moment) is False
        assert pulled(store, author) == PulledAuthor(author, "returning", "shed", LATER)
        assert [end_pull(store, author, LATER) for _ in range(2)] == [True, False]
        assert pulled(store, author) is None

    def test_does_not_end_while_a_fan_out_is_postponed(self, store: RelationalStore) -> None:
        author = uuid4()
        one, other, stranger = fanout(author_id=author), fanout(author_id=author), fanout()
        pull(store, author)
        assert postpone(store, one) is True
        save(store, other, replace(stranger, state="pulled"))
        begin_return(store, author)
        assert end_pull(store, author) is False
        save(store, replace(one, state="pulled", delivered=40))
        assert end_pull(store, author) is False
        save(store, replace(one, state="done", finished_at=LATER))
        assert end_pull(store, author) is True

    def test_are_listed_by_id(self, new_store: Callable[[], RelationalStore]) -> None:
        store = new_store()
        assert store.fanouts.pulled_authors(after=None, limit=9) == []
        for author in reversed(ENDS):
            pull(store, author)
        begin_return(store, ENDS[1], LATER)
        expected = [PulledAuthor(author, "pulled", "shed", NOW) for author in ENDS]
        expected[1] = PulledAuthor(ENDS[1], "returning", "shed", LATER)
        assert store.fanouts.pulled_authors(after=None, limit=9) == expected
        assert store.fanouts.pulled_authors(after=None, limit=2) == expected[:2]
        assert store.fanouts.pulled_authors(after=ENDS[0], limit=2) == expected[1:3]
        assert store.fanouts.pulled_authors(after=ENDS[-1], limit=2) == []
        with pytest.raises(Invalid):
            store.fanouts.pulled_authors(after=None, limit=-1)

    def test_postponed_are_the_authors_own_newest_first(self, store: RelationalStore) -> None:
        author = uuid4()
        mine = [fanout(author_id=author, post_id=UUID(int=one.int ^ author.int >> 8), state="pulled") for one in ENDS]
        save(store, *mine, fanout(author_id=author), fanout(state="pulled"))
        mine.sort(key=lambda one: one.post_id, reverse=True)
        assert store.fanouts.postponed(author, limit=9) == mine
        assert store.fanouts.postponed(author, limit=2) == mine[:2]
        assert store.fanouts.postponed(author, limit=0) == []
        assert store.fanouts.postponed(uuid4(), limit=9) == []
        with pytest.raises(Invalid):
            store.fanouts.postponed(author, limit=-1)


class TestPostpone:
    def test_needs_a_pulled_author(self, store: RelationalStore) -> None:
        one = fanout()
        assert postpone(store, one) is False
        pull(store, one.author_id)
        begin_return(store, one.author_id)
        assert postpone(store, one) is False
        assert store.fanouts.progress(one.post_id) is None
        pull(store, one.author_id)
        assert [postpone(store, one) for _ in range(2)] == [True, True]
        assert store.fanouts.progress(one.post_id) == replace(one, state="pulled")

    def test_loses_no_progress(self, store: RelationalStore) -> None:
        one = fanout()
        pull(store, one.author_id)
        save(store, one)
        assert postpone(store, replace(one, delivered=1, cursor=None)) is True
        assert store.fanouts.postponed(one.author_id, limit=9) == [replace(one, state="pulled")]

    def test_leaves_a_completed_fan_out(self, store: RelationalStore) -> None:
        one = fanout(state="done", finished_at=NOW)
        pull(store, one.author_id)
        save(store, one)
        assert postpone(store, replace(one, state="running", finished_at=None)) is True
        assert store.fanouts.progress(one.post_id) == one


class TestConcurrentPostponeAndReturn:
    """Postponing a fan-out and ending the pulling never both succeed: the post would be lost."""

    def test_begin_return_waits_for_a_postpone(self, store: RelationalStore) -> None:
        one = fanout()
        pull(store, one.author_id)
        with ThreadPoolExecutor(1) as pool:
            with store.transaction() as unit:
                assert unit.fanouts.postpone(one) is True
                overtaking = pool.submit(begin_return, store, one.author_id)
                assert not wait([overtaking], timeout=0.1).done
            assert overtaking.result() is True
        assert store.fanouts.postponed(one.author_id, limit=9) == [replace(one, state="pulled")]
        assert end_pull(store, one.author_id) is False

    def test_a_postpone_waits_for_begin_return(self, store: RelationalStore) -> None:
        one = fanout()
        pull(store, one.author_id)
        with ThreadPoolExecutor(1) as pool:
            with store.transaction() as unit:
                assert unit.fanouts.begin_return(one.author_id, NOW) is True
                overtaking = pool.submit(postpone, store, one)
                assert not wait([overtaking], timeout=0.1).done
            assert overtaking.result() is False
        assert end_pull(store, one.author_id) is True

    def test_end_pull_waits_for_a_new_pull(self, store: RelationalStore) -> None:
        """The new pull even has the same time as the former one."""
        one = fanout(state="pulled")
        pull(store, one.author_id)
        begin_return(store, one.author_id)
        with ThreadPoolExecutor(1) as pool:
            with store.transaction() as unit:
                unit.fanouts.pull(one.author_id, at=LATER, reason="threshold")
                overtaking = pool.submit(end_pull, store, one.author_id)
                assert not wait([overtaking], timeout=0.1).done
                assert unit.fanouts.postpone(one) is True
                assert unit.fanouts.begin_return(one.author_id, NOW) is True
            assert overtaking.result() is False
        assert pulled(store, one.author_id) == PulledAuthor(one.author_id, "returning", "threshold", NOW)

    def test_a_new_pull_waits_for_end_pull(self, store: RelationalStore) -> None:
        author = uuid4()
        pull(store, author)
        begin_return(store, author)
        with ThreadPoolExecutor(1) as pool:
            with store.transaction() as unit:
                assert unit.fanouts.end_pull(author, changed_at=NOW) is True
                overtaking = pool.submit(pull, store, author, LATER)
                assert not wait([overtaking], timeout=0.1).done
            overtaking.result()
        assert pulled(store, author) == PulledAuthor(author, "pulled", "shed", LATER)

    def test_postpone_and_end_pull_exclude_each_other(self, store: RelationalStore) -> None:
        for _ in range(20):
            one = fanout()
            pull(store, one.author_id)

            def end(author: UUID = one.author_id) -> bool:
                return begin_return(store, author) and end_pull(store, author)

            works: list[Callable[[], bool]] = [partial(postpone, store, one), end]
            postponed, ended = together(works)
            assert [postponed, ended] in ([True, False], [False, True])
            left = [replace(one, state="pulled")] if postponed else []
            assert store.fanouts.postponed(one.author_id, limit=9) == left

    def test_one_of_concurrent_calls_ends_it(self, store: RelationalStore) -> None:
        author = uuid4()
        pull(store, author)
        begin_return(store, author)
        assert sorted(map(bool, together([partial(end_pull, store, author)] * 4))) == [False] * 3 + [True]
