"""The contract of the relational store: fan-outs and pulled authors."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Invalid
from repositories.feed_records import Fanout, FanoutState, PulledAuthor, PullReason, Situation, Stage
from repositories.records import Follow
from repositories.relational import RelationalStore, Transaction
from tests.contracts.money import LARGEST, MICROSECOND, SECOND, do, together
from tests.contracts.relational_store import NOW, account, login, register

LATER = NOW + SECOND
ENDS: list[UUID] = [UUID(int=top << 120 | 7) for top in (0x00, 0x7F, 0x80, 0xFF)]
STAGES: tuple[Stage, ...] = ("all", "recent", "rest")


def fanout(**changes: object) -> Fanout:
    """A running fan-out that has delivered to 20 followers."""
    made = Fanout(
        post_id=uuid4(),
        author_id=uuid4(),
        published_at=NOW,
        begun_at=NOW + MICROSECOND,
        state="running",
        stage="recent",
        cursor=ENDS[2],
        audience=50,
        delivered=20,
        lag_histogram=((3, 15), (4, 5)),
        finished_at=None,
        trace="0af7651916cd43dd",
    )
    return replace(made, **changes) if changes else made


def save(store: RelationalStore, *fanouts: Fanout) -> None:
    for one in fanouts:
        do(store, lambda unit, one=one: unit.fanouts.save(one))  # type: ignore[misc]  # default binds


def pull(store: RelationalStore, author: UUID, at: datetime = NOW, reason: PullReason = "shed") -> None:
    do(store, lambda unit: unit.fanouts.pull(author, at=at, reason=reason))


def postpone(store: RelationalStore, one: Fanout) -> bool:
    return do(store, lambda unit: unit.fanouts.postpone(one))


def begin_return(store: RelationalStore, author: UUID, at: datetime = NOW) -> bool:
    return do(store, lambda unit: unit.fanouts.begin_return(author, at))


def end_pull(store: RelationalStore, author: UUID, changed_at: datetime = NOW) -> bool:
    return do(store, lambda unit: unit.fanouts.end_pull(author, changed_at=changed_at))


def pulled(store: RelationalStore, author: UUID) -> PulledAuthor | None:
    return store.fanouts.situation(uuid4(), author).pulled


class TestSave:
    @pytest.mark.parametrize("state", ["running", "done", "pulled", "retracting"])
    @pytest.mark.parametrize("stage", STAGES)
    def test_comes_back_as_it_was(self, relational: RelationalStore, state: FanoutState, stage: Stage) -> None:
        one = fanout(state=state, stage=stage, finished_at=LATER if state == "done" else None)
        save(relational, one, one)
        assert relational.fanouts.progress(one.post_id) == one

    @pytest.mark.parametrize("lag_histogram", [(), ((0, 1),), ((-1, 0), (LARGEST, LARGEST))])
    @pytest.mark.parametrize("cursor", [None, *ENDS])
    def test_keeps_extremes(self, relational: RelationalStore, cursor: UUID | None, lag_histogram: object) -> None:
        one = fanout(cursor=cursor, lag_histogram=lag_histogram, audience=0, delivered=LARGEST, trace="\u00fc \\ ' %s")
        save(relational, one)
        assert relational.fanouts.progress(one.post_id) == one

    @pytest.mark.parametrize(
        "wrong",
        [
            {"trace": "a\0b"},
            {"audience": -1},
            {"delivered": -1},
            {"delivered": LARGEST + 1},
            {"state": "asleep"},
            {"stage": "some"},
            {"state": "done"},
        ],
    )
    def test_refuses_invalid_values(self, relational: RelationalStore, wrong: dict[str, object]) -> None:
        one = fanout(**wrong)
        with pytest.raises(Invalid):
            save(relational, one)
        assert relational.fanouts.progress(one.post_id) is None

    def test_an_unknown_fan_out_is_none(self, relational: RelationalStore) -> None:
        assert relational.fanouts.progress(uuid4()) is None

    def test_is_undone_with_its_transaction(self, relational: RelationalStore) -> None:
        one = fanout()

        def fail(unit: Transaction) -> None:
            unit.fanouts.save(one)
            unit.fanouts.pull(one.author_id, at=NOW, reason="shed")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(relational, fail)
        assert relational.fanouts.situation(one.post_id, one.author_id) == Situation(None, None, 0)

    def test_forget(self, relational: RelationalStore) -> None:
        one, other = fanout(state="retracting"), fanout()
        save(relational, one, other)
        for _ in range(2):
            do(relational, lambda unit: unit.fanouts.forget(one.post_id))
        assert relational.fanouts.progress(one.post_id) is None
        assert relational.fanouts.progress(other.post_id) == other


DONE = {"state": "done", "finished_at": LATER}
PULLED, RETRACTING = {"state": "pulled"}, {"state": "retracting"}
AHEAD, BEHIND = {"delivered": 21}, {"delivered": 19}


class TestNeverBack:
    """Progress never goes back. Each case has the stored progress and the one saved after it, as fields to change."""

    @pytest.mark.parametrize(
        ("kept", "saved"),
        [
            ({}, AHEAD),
            ({}, {"cursor": ENDS[3]}),
            ({}, AHEAD | {"stage": "rest", "cursor": None}),
            ({}, {"stage": "rest", "cursor": None}),
            ({"cursor": None}, {"cursor": ENDS[0]}),
            ({"stage": "all"}, {"stage": "all", "cursor": ENDS[3], "audience": 60, "lag_histogram": ((9, 9),)}),
            ({}, DONE),
            ({}, DONE | BEHIND | {"cursor": None}),
            ({}, PULLED),
            ({}, PULLED | AHEAD),
            (PULLED, PULLED | AHEAD),
            (PULLED, DONE | AHEAD),
            ({}, RETRACTING | {"delivered": 0, "cursor": None}),
            (PULLED, RETRACTING | {"delivered": 0, "cursor": None}),
            (DONE, RETRACTING | {"delivered": 0, "cursor": None}),
            (RETRACTING, RETRACTING | {"cursor": ENDS[3]}),
        ],
    )
    def test_more_progress_is_stored(
        self, relational: RelationalStore, kept: dict[str, object], saved: dict[str, object]
    ) -> None:
        old = fanout(**kept)
        new = replace(old, **({"state": "running", "finished_at": None} | saved))
        save(relational, old, new)
        assert relational.fanouts.progress(old.post_id) == new

    @pytest.mark.parametrize(
        ("kept", "saved"),
        [
            ({}, BEHIND),
            ({}, BEHIND | {"cursor": ENDS[3], "stage": "rest"}),
            ({}, {"cursor": ENDS[1]}),
            ({}, {"cursor": None}),
            ({"stage": "rest", "cursor": None}, {"cursor": ENDS[3]}),
            (DONE, AHEAD),
            (DONE, PULLED | AHEAD),
            (DONE, {"state": "done", "delivered": 30, "finished_at": LATER + SECOND}),
            (PULLED, AHEAD),
            (PULLED, PULLED | BEHIND),
            (RETRACTING, AHEAD),
            (RETRACTING, PULLED | AHEAD),
            (RETRACTING, DONE | AHEAD),
            (RETRACTING, RETRACTING | {"cursor": ENDS[1]}),
        ],
    )
    def test_less_progress_is_not_stored(
        self, relational: RelationalStore, kept: dict[str, object], saved: dict[str, object]
    ) -> None:
        old = fanout(**kept)
        save(relational, old, replace(old, **({"state": "running", "finished_at": None, "stage": "recent"} | saved)))
        assert relational.fanouts.progress(old.post_id) == old

    def test_postponing_keeps_the_most_progress(self, relational: RelationalStore) -> None:
        """A save with less progress still postpones it: if it stayed `running`, no relay would continue it."""
        one = fanout()
        save(relational, one, replace(one, state="pulled", delivered=5, cursor=None))
        assert relational.fanouts.progress(one.post_id) == replace(one, state="pulled")
        assert relational.fanouts.postponed(one.author_id, limit=9) == [replace(one, state="pulled")]

    def test_concurrent_saves_keep_the_most_progress(self, relational: RelationalStore) -> None:
        one = fanout()
        steps = [replace(one, delivered=number, lag_histogram=((1, number),)) for number in range(32)]
        works = [partial(save, relational, *steps[start::4]) for start in range(4)]
        assert together(works) == [None] * 4
        assert relational.fanouts.progress(one.post_id) == steps[-1]


class TestAudience:
    def test_excludes_the_dormant_and_is_ordered_by_id(self, relational: RelationalStore) -> None:
        author, *readers = register(relational, 9)
        asleep = _add_dormant(relational)
        _follow(relational, author, [*reversed(readers), asleep])
        do(relational, lambda unit: unit.feed_activity.rebuild(readers[3], NOW))
        do(relational, lambda unit: unit.graph.follow(Follow(author, readers[0], NOW)))
        assert _audience(relational, author, limit=99) == readers
        assert _audience(relational, author, limit=3) == readers[:3]
        assert _audience(relational, author, limit=3, after=readers[2]) == readers[3:6]
        assert _audience(relational, author, limit=3, after=UUID(int=readers[2].int - 1)) == readers[2:5]
        assert _audience(relational, author, limit=3, after=readers[-1]) == []
        assert _audience(relational, author, limit=0) == []
        assert relational.fanouts.audience_size(author) == 8
        do(relational, lambda unit: unit.feed_activity.wake(asleep, NOW))
        assert _audience(relational, author, limit=99) == sorted([*readers, asleep])
        assert relational.fanouts.audience_size(author) == 9

    def test_is_empty_without_followers(self, relational: RelationalStore) -> None:
        (author,) = register(relational)
        for one in (author, uuid4()):
            for stage in STAGES:
                assert relational.fanouts.audience(one, stage=stage, recent=NOW, begun=NOW, after=None, limit=9) == []
            assert relational.fanouts.audience_size(one) == 0

    def test_a_limit_below_0_is_invalid(self, relational: RelationalStore) -> None:
        for stage in STAGES:
            with pytest.raises(Invalid):
                relational.fanouts.audience(uuid4(), stage=stage, recent=NOW, begun=NOW, after=None, limit=-1)

    def test_ids_are_ordered_as_numbers(self, relational: RelationalStore) -> None:
        (author,) = register(relational)
        ids = [UUID(int=(uuid4().int >> 8) | (top << 120)) for top in (0x00, 0x7F, 0x80, 0xFF)]
        for one in ids:
            _add(relational, NOW, id=one, handle=one.hex)
        _follow(relational, author, ids)
        assert _audience(relational, author, limit=9) == ids
        assert _audience(relational, author, limit=9, after=ids[1]) == ids[2:]

    def test_the_stages_are_disjoint_and_complete(self, relational: RelationalStore) -> None:
        recent, begun = NOW, NOW + SECOND
        moments = [recent - SECOND, recent - MICROSECOND, recent, begun - MICROSECOND, begun, begun + SECOND]
        (author,) = register(relational)
        readers = {_add(relational, moment): moment for moment in moments * 3}
        _follow(relational, author, [*readers, _add_dormant(relational)])
        first = _pages(relational, author, "recent", recent, begun)
        rest = _pages(relational, author, "rest", recent, begun)
        assert first == sorted(one for one, moment in readers.items() if recent <= moment < begun)
        assert rest == sorted(set(readers) - set(first))
        assert sorted(first + rest) == _audience(relational, author, limit=99)

    def test_readers_seen_between_the_stages_are_in_the_rest(self, relational: RelationalStore) -> None:
        recent, begun = NOW, NOW + SECOND
        (author,) = register(relational)
        idle, active = _add(relational, NOW - SECOND), _add(relational, NOW)
        _follow(relational, author, [idle, active])
        assert _pages(relational, author, "recent", recent, begun) == [active]
        for one in (idle, active):
            do(relational, lambda unit, one=one: unit.feed_activity.seen(one, begun))  # type: ignore[misc]  # default binds
        assert _pages(relational, author, "rest", recent, begun) == sorted([idle, active])


class TestSituation:
    def test_of_the_unknown_is_empty(self, relational: RelationalStore) -> None:
        assert relational.fanouts.situation(uuid4(), uuid4()) == Situation(None, None, 0)

    def test_each_part_is_independent_of_the_others(self, relational: RelationalStore) -> None:
        author, one, other = register(relational, 3)
        _follow(relational, author, [one, other, _add_dormant(relational)])
        running = fanout(author_id=author)
        post = running.post_id
        assert relational.fanouts.situation(post, author) == Situation(None, None, 3)
        pull(relational, author, reason="threshold")
        its = PulledAuthor(author, "pulled", "threshold", NOW)
        assert relational.fanouts.situation(post, author) == Situation(None, its, 3)
        save(relational, running)
        assert relational.fanouts.situation(post, author) == Situation(running, its, 3)
        assert relational.fanouts.situation(post, one) == Situation(running, None, 0)
        assert relational.fanouts.situation(uuid4(), author) == Situation(None, its, 3)


class TestPulled:
    def test_pulling_again_changes_nothing(self, relational: RelationalStore) -> None:
        author = uuid4()
        pull(relational, author)
        pull(relational, author, LATER, "threshold")
        assert pulled(relational, author) == PulledAuthor(author, "pulled", "shed", NOW)

    def test_a_returning_author_is_pulled_again(self, relational: RelationalStore) -> None:
        author = uuid4()
        assert begin_return(relational, author) is False
        pull(relational, author)
        assert [begin_return(relational, author, LATER), begin_return(relational, author, NOW)] == [True, False]
        assert pulled(relational, author) == PulledAuthor(author, "returning", "shed", LATER)
        pull(relational, author, LATER + SECOND, "threshold")
        assert pulled(relational, author) == PulledAuthor(author, "pulled", "threshold", LATER + SECOND)
        assert end_pull(relational, author, LATER) is False
        assert end_pull(relational, author, LATER + SECOND) is False

    def test_ends_only_with_the_time_of_the_return(self, relational: RelationalStore) -> None:
        author = uuid4()
        assert end_pull(relational, author) is False
        pull(relational, author)
        assert end_pull(relational, author) is False
        begin_return(relational, author, LATER)
        for moment in (NOW, LATER - MICROSECOND, LATER + MICROSECOND):
            assert end_pull(relational, author, moment) is False
        assert pulled(relational, author) == PulledAuthor(author, "returning", "shed", LATER)
        assert [end_pull(relational, author, LATER) for _ in range(2)] == [True, False]
        assert pulled(relational, author) is None

    def test_does_not_end_while_a_fan_out_is_postponed(self, relational: RelationalStore) -> None:
        author = uuid4()
        one, other, stranger = fanout(author_id=author), fanout(author_id=author), fanout()
        pull(relational, author)
        assert postpone(relational, one) is True
        save(relational, other, replace(stranger, state="pulled"))
        begin_return(relational, author)
        assert end_pull(relational, author) is False
        save(relational, replace(one, state="pulled", delivered=40))
        assert end_pull(relational, author) is False
        save(relational, replace(one, state="done", finished_at=LATER))
        assert end_pull(relational, author) is True

    def test_are_listed_by_id(self, new_relational: Callable[[], RelationalStore]) -> None:
        store = new_relational()
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

    def test_postponed_are_the_authors_own_newest_first(self, relational: RelationalStore) -> None:
        author = uuid4()
        mine = [fanout(author_id=author, post_id=UUID(int=one.int ^ author.int >> 8), state="pulled") for one in ENDS]
        save(relational, *mine, fanout(author_id=author), fanout(state="pulled"))
        mine.sort(key=lambda one: one.post_id, reverse=True)
        assert relational.fanouts.postponed(author, limit=9) == mine
        assert relational.fanouts.postponed(author, limit=2) == mine[:2]
        assert relational.fanouts.postponed(author, limit=0) == []
        assert relational.fanouts.postponed(uuid4(), limit=9) == []
        with pytest.raises(Invalid):
            relational.fanouts.postponed(author, limit=-1)


class TestSkip:
    def test_needs_a_pulled_author(self, relational: RelationalStore) -> None:
        one = fanout()
        assert postpone(relational, one) is False
        pull(relational, one.author_id)
        begin_return(relational, one.author_id)
        assert postpone(relational, one) is False
        assert relational.fanouts.progress(one.post_id) is None
        pull(relational, one.author_id)
        assert [postpone(relational, one) for _ in range(2)] == [True, True]
        assert relational.fanouts.progress(one.post_id) == replace(one, state="pulled")

    def test_loses_no_progress(self, relational: RelationalStore) -> None:
        one = fanout()
        pull(relational, one.author_id)
        save(relational, one)
        assert postpone(relational, replace(one, delivered=1, cursor=None)) is True
        assert relational.fanouts.postponed(one.author_id, limit=9) == [replace(one, state="pulled")]

    def test_leaves_a_completed_fan_out(self, relational: RelationalStore) -> None:
        one = fanout(state="done", finished_at=NOW)
        pull(relational, one.author_id)
        save(relational, one)
        assert postpone(relational, replace(one, state="running", finished_at=None)) is True
        assert relational.fanouts.progress(one.post_id) == one


class TestTurns:
    """Postponing a fan-out and ending the pulling never both succeed: the post would be lost."""

    def test_begin_return_waits_for_a_postpone(self, relational: RelationalStore) -> None:
        one = fanout()
        pull(relational, one.author_id)
        with ThreadPoolExecutor(1) as pool:
            with relational.transaction() as unit:
                assert unit.fanouts.postpone(one) is True
                overtaking = pool.submit(begin_return, relational, one.author_id)
                assert not wait([overtaking], timeout=0.1).done
            assert overtaking.result() is True
        assert relational.fanouts.postponed(one.author_id, limit=9) == [replace(one, state="pulled")]
        assert end_pull(relational, one.author_id) is False

    def test_a_postpone_waits_for_begin_return(self, relational: RelationalStore) -> None:
        one = fanout()
        pull(relational, one.author_id)
        with ThreadPoolExecutor(1) as pool:
            with relational.transaction() as unit:
                assert unit.fanouts.begin_return(one.author_id, NOW) is True
                overtaking = pool.submit(postpone, relational, one)
                assert not wait([overtaking], timeout=0.1).done
            assert overtaking.result() is False
        assert end_pull(relational, one.author_id) is True

    def test_end_pull_waits_for_a_new_pull(self, relational: RelationalStore) -> None:
        """The new pull even has the same time as the former one."""
        one = fanout(state="pulled")
        pull(relational, one.author_id)
        begin_return(relational, one.author_id)
        with ThreadPoolExecutor(1) as pool:
            with relational.transaction() as unit:
                unit.fanouts.pull(one.author_id, at=LATER, reason="threshold")
                overtaking = pool.submit(end_pull, relational, one.author_id)
                assert not wait([overtaking], timeout=0.1).done
                assert unit.fanouts.postpone(one) is True
                assert unit.fanouts.begin_return(one.author_id, NOW) is True
            assert overtaking.result() is False
        assert pulled(relational, one.author_id) == PulledAuthor(one.author_id, "returning", "threshold", NOW)

    def test_a_new_pull_waits_for_end_pull(self, relational: RelationalStore) -> None:
        author = uuid4()
        pull(relational, author)
        begin_return(relational, author)
        with ThreadPoolExecutor(1) as pool:
            with relational.transaction() as unit:
                assert unit.fanouts.end_pull(author, changed_at=NOW) is True
                overtaking = pool.submit(pull, relational, author, LATER)
                assert not wait([overtaking], timeout=0.1).done
            overtaking.result()
        assert pulled(relational, author) == PulledAuthor(author, "pulled", "shed", LATER)

    def test_postpone_and_end_pull_exclude_each_other(self, relational: RelationalStore) -> None:
        for _ in range(20):
            one = fanout()
            pull(relational, one.author_id)

            def end(author: UUID = one.author_id) -> bool:
                return begin_return(relational, author) and end_pull(relational, author)

            works: list[Callable[[], bool]] = [partial(postpone, relational, one), end]
            skipped, ended = together(works)
            assert [skipped, ended] in ([True, False], [False, True])
            left = [replace(one, state="pulled")] if skipped else []
            assert relational.fanouts.postponed(one.author_id, limit=9) == left

    def test_one_of_concurrent_calls_ends_it(self, relational: RelationalStore) -> None:
        author = uuid4()
        pull(relational, author)
        begin_return(relational, author)
        assert sorted(map(bool, together([partial(end_pull, relational, author)] * 4))) == [False] * 3 + [True]


class TestLag:
    def test_counts_running_fan_outs(self, new_relational: Callable[[], RelationalStore]) -> None:
        store = new_relational()
        assert store.fanouts.lag() == (0, None)
        first, second = fanout(published_at=LATER), fanout(published_at=NOW)
        others = [fanout(state=state, published_at=NOW - SECOND) for state in ("pulled", "retracting")]
        save(store, first, second, *others, fanout(**DONE, published_at=NOW - SECOND))
        assert store.fanouts.lag() == (2, NOW)
        save(store, replace(second, state="done", finished_at=LATER))
        assert store.fanouts.lag() == (1, LATER)


class TestSweep:
    def test_removes_the_oldest_completed_ones(self, new_relational: Callable[[], RelationalStore]) -> None:
        store = new_relational()
        done = [fanout(state="done", finished_at=NOW + SECOND * number) for number in (0, 1, 1, 2, 3)]
        done[1:3] = sorted(done[1:3], key=lambda one: one.post_id)
        others = [fanout(state=state) for state in ("running", "pulled", "retracting")]
        save(store, *reversed(done), *others)

        def sweep(limit: int) -> int:
            before = NOW + SECOND * 3
            return do(store, lambda unit: unit.fanouts.sweep(finished_before=before, limit=limit))

        assert sweep(0) == 0
        assert sweep(2) == 2
        assert _stored(store, done) == done[2:]
        assert [sweep(9), sweep(9)] == [2, 0]
        assert _stored(store, done) == done[4:]
        assert _stored(store, others) == others
        with pytest.raises(Invalid):
            sweep(-1)

    def test_concurrent_sweeps_share_the_work(self, new_relational: Callable[[], RelationalStore]) -> None:
        store = new_relational()
        save(store, *(fanout(**DONE) for _ in range(12)))
        sweep: Callable[[Transaction], int] = lambda unit: unit.fanouts.sweep(  # noqa: E731  - run thrice
            finished_before=LATER + SECOND, limit=4
        )
        swept = [number for number in together([lambda: do(store, sweep)] * 3) if isinstance(number, int)]
        while some := do(store, sweep):
            swept.append(some)
        assert sum(swept) == 12


def _stored(store: RelationalStore, fanouts: Sequence[Fanout]) -> list[Fanout]:
    return [found for one in fanouts if (found := store.fanouts.progress(one.post_id))]


def _add(store: RelationalStore, seen_at: datetime, **changes: object) -> UUID:
    one = account(created_at=seen_at, **changes)
    do(store, lambda unit: unit.accounts.add(one, login(one)))
    return one.id


def _add_dormant(store: RelationalStore) -> UUID:
    """Add a dormant reader who was last seen longer ago than all others."""
    long_ago = NOW - SECOND * 1000
    reader = _add(store, long_ago)
    assert do(store, lambda unit: unit.feed_activity.sleep(seen_before=long_ago + SECOND, limit=1)) == [reader]
    return reader


def _follow(store: RelationalStore, author: UUID, readers: Sequence[UUID]) -> None:
    with store.transaction() as unit:
        for reader in readers:
            unit.graph.follow(Follow(reader, author, NOW))


def _audience(store: RelationalStore, author: UUID, *, limit: int, after: UUID | None = None) -> list[UUID]:
    return store.fanouts.audience(author, after=after, limit=limit)


def _pages(store: RelationalStore, author: UUID, stage: Stage, recent: datetime, begun: datetime) -> list[UUID]:
    """The whole audience of a stage, read in small pages."""
    found: list[UUID] = []
    while page := store.fanouts.audience(
        author, stage=stage, recent=recent, begun=begun, after=found[-1] if found else None, limit=4
    ):
        found += page
    return found
