"""The contract of the relational store: the progress of fan-outs."""

from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Invalid
from repositories.records.feeds import Fanout, FanoutState, Situation, Stage
from repositories.relational import RelationalStore, Transaction
from tests.contracts.relational.fanout_records import DONE, ENDS, LATER, STAGES, fanout, save
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import LARGEST, SECOND, do, together


class TestSave:
    @pytest.mark.parametrize("state", ["running", "done", "pulled", "retracting"])
    @pytest.mark.parametrize("stage", STAGES)
    def test_comes_back_as_it_was(self, store: RelationalStore, state: FanoutState, stage: Stage) -> None:
        one = fanout(state=state, stage=stage, finished_at=LATER if state == "done" else None)
        save(store, one, one)
        assert store.fanouts.progress(one.post_id) == one

    @pytest.mark.parametrize("lag_histogram", [(), ((0, 1),), ((-1, 0), (LARGEST, LARGEST))])
    @pytest.mark.parametrize("cursor", [None, *ENDS])
    def test_keeps_extremes(self, store: RelationalStore, cursor: UUID | None, lag_histogram: object) -> None:
        one = fanout(cursor=cursor, lag_histogram=lag_histogram, audience=0, delivered=LARGEST, trace="\u00fc \\ ' %s")
        save(store, one)
        assert store.fanouts.progress(one.post_id) == one

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
    def test_refuses_invalid_values(self, store: RelationalStore, wrong: dict[str, object]) -> None:
        one = fanout(**wrong)
        with pytest.raises(Invalid):
            save(store, one)
        assert store.fanouts.progress(one.post_id) is None

    def test_an_unknown_fan_out_is_none(self, store: RelationalStore) -> None:
        assert store.fanouts.progress(uuid4()) is None

    def test_is_undone_with_its_transaction(self, store: RelationalStore) -> None:
        one = fanout()

        def fail(unit: Transaction) -> None:
            unit.fanouts.save(one)
            unit.fanouts.pull(one.author_id, at=NOW, reason="shed")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            do(store, fail)
        assert store.fanouts.situation(one.post_id, one.author_id) == Situation(None, None, 0)

    def test_forget(self, store: RelationalStore) -> None:
        one, other = fanout(state="retracting"), fanout()
        save(store, one, other)
        for _ in range(2):
            do(store, lambda unit: unit.fanouts.forget(one.post_id))
        assert store.fanouts.progress(one.post_id) is None
        assert store.fanouts.progress(other.post_id) == other


PULLED, RETRACTING = {"state": "pulled"}, {"state": "retracting"}
AHEAD, BEHIND = {"delivered": 21}, {"delivered": 19}


class TestProgressNeverDecreases:
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
        self, store: RelationalStore, kept: dict[str, object], saved: dict[str, object]
    ) -> None:
        old = fanout(**kept)
        new = replace(old, **({"state": "running", "finished_at": None} | saved))
        save(store, old, new)
        assert store.fanouts.progress(old.post_id) == new

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
        self, store: RelationalStore, kept: dict[str, object], saved: dict[str, object]
    ) -> None:
        old = fanout(**kept)
        save(store, old, replace(old, **({"state": "running", "finished_at": None, "stage": "recent"} | saved)))
        assert store.fanouts.progress(old.post_id) == old

    def test_postponing_keeps_the_most_progress(self, store: RelationalStore) -> None:
        """A save with less progress still postpones it: if it stayed `running`, no relay would continue it."""
        one = fanout()
        save(store, one, replace(one, state="pulled", delivered=5, cursor=None))
        assert store.fanouts.progress(one.post_id) == replace(one, state="pulled")
        assert store.fanouts.postponed(one.author_id, limit=9) == [replace(one, state="pulled")]

    def test_concurrent_saves_keep_the_most_progress(self, store: RelationalStore) -> None:
        one = fanout()
        steps = [replace(one, delivered=number, lag_histogram=((1, number),)) for number in range(32)]
        works = [partial(save, store, *steps[start::4]) for start in range(4)]
        assert together(works) == [None] * 4
        assert store.fanouts.progress(one.post_id) == steps[-1]


class TestLag:
    def test_counts_running_fan_outs(self, new_store: Callable[[], RelationalStore]) -> None:
        store = new_store()
        assert store.fanouts.lag() == (0, None)
        first, second = fanout(published_at=LATER), fanout(published_at=NOW)
        others = [fanout(state=state, published_at=NOW - SECOND) for state in ("pulled", "retracting")]
        save(store, first, second, *others, fanout(**DONE, published_at=NOW - SECOND))
        assert store.fanouts.lag() == (2, NOW)
        save(store, replace(second, state="done", finished_at=LATER))
        assert store.fanouts.lag() == (1, LATER)


class TestSweep:
    def test_removes_the_oldest_completed_ones(self, new_store: Callable[[], RelationalStore]) -> None:
        store = new_store()
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

    def test_concurrent_sweeps_share_the_work(self, new_store: Callable[[], RelationalStore]) -> None:
        store = new_store()
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
