"""The contract of `Notifications`, for every adapter."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Invalid
from repositories.feed_records import Activity
from repositories.feeds.activity_id import DETAIL_BYTES, activity_id, moment_id
from repositories.feeds.id_time import below, micros, millis
from repositories.feeds.notifications_port import MAX_REPEATS, Notifications, StoredActivity
from repositories.feeds.port import MAX_TOMBSTONES, FeedStore
from repositories.feeds.retention import Clock, now

from .test_feeds import ADAPTERS, maker

RETENTION = timedelta(days=400)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
T0 = now() - DAY
CHANCE = random.Random(11)  # noqa: S311 - test data


class Opener(Protocol):
    """Opens another client of the same store."""

    def __call__(self, *, retention: timedelta = ..., clock: Clock = ...) -> Notifications: ...


@pytest.fixture(scope="module", params=ADAPTERS)
def opener(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    make, store = maker(request, tmp_path_factory), f"notifications_{uuid4().hex[:8]}"
    opened: list[FeedStore] = []

    def opener(*, retention: timedelta = RETENTION, clock: Clock = now) -> Notifications:
        opened.append(make(store, retention, clock))
        return opened[-1].notifications

    opener()
    opened[0].migrate()
    yield opener
    for feeds in opened:
        feeds.close()


@pytest.fixture(scope="module")
def notifications(opener: Opener) -> Notifications:
    return opener()


def an_activity(at: datetime = T0, **different: Any) -> Activity:
    return replace(Activity("like", uuid4(), uuid4(), at), **different)


def activities(count: int, *, since: timedelta = DAY) -> list[Activity]:
    """Activities evenly spread over the time `since`, newest first."""
    start, step = now() - since, since / (count + 1)
    return [an_activity(start + step * n) for n in reversed(range(count))]


def noted(*some: Activity) -> list[StoredActivity]:
    return sorted(
        (StoredActivity(activity_id(activity), activity) for activity in some), key=lambda one: one.id, reverse=True
    )


def test_nothing_is_there_at_first(notifications: Notifications) -> None:
    assert notifications.page(uuid4(), limit=10) == []
    assert notifications.marker(uuid4()) is None
    notifications.withdraw(uuid4(), an_activity(), T0)


@pytest.mark.parametrize(
    "different",
    [
        {"kind": "follow"},
        {"kind": "order", "detail": "fulfilled"},
        {"kind": "comment", "number": (1 << 31) - 1},
        {"detail": "ø 🐘 \u202e\n'\"%s{}"},
        {"detail": "🐘" * (DETAIL_BYTES // 4)},
        {"at": T0.replace(microsecond=999_999)},
        {"at": T0.replace(microsecond=0)},
    ],
    ids=["kind", "order", "number", "text", "long text", "last microsecond", "whole second"],
)
def test_an_activity_comes_back_as_it_was(notifications: Notifications, different: dict[str, Any]) -> None:
    owner, activity = uuid4(), replace(an_activity(), **different)
    assert notifications.note(owner, activity, T0) == activity_id(activity)
    assert notifications.page(owner, limit=10) == noted(activity)
    assert notifications.page(uuid4(), limit=10) == []


def test_ids_are_of_the_time_and_the_content() -> None:
    activity = an_activity()
    assert activity_id(activity).version == 7
    assert millis(activity_id(activity)) == micros(activity.at) // 1000
    assert activity_id(replace(activity, detail="other")) == activity_id(activity)
    others = ({"kind": "follow"}, {"subject": uuid4()}, {"actor": uuid4()}, {"number": 1})
    assert len({activity_id(replace(activity, **other)) for other in ({}, *others)}) == 5
    assert activity_id(replace(activity, at=activity.at + timedelta(milliseconds=1))) > activity_id(activity)


@pytest.mark.parametrize(
    "wrong",
    [
        {"detail": "x" * (DETAIL_BYTES + 1)},
        {"detail": "a\0b"},
        {"detail": "\ud800"},
        {"number": -1},
        {"number": 1 << 31},
        {"at": datetime(1969, 1, 1, tzinfo=UTC)},
    ],
    ids=repr,
)
def test_invalid_activities_are_refused(notifications: Notifications, wrong: dict[str, Any]) -> None:
    owner, activity = uuid4(), replace(an_activity(), **wrong)
    with pytest.raises(Invalid):
        notifications.note(owner, activity, T0)
    with pytest.raises(Invalid):
        notifications.withdraw(owner, activity, T0)
    assert notifications.page(owner, limit=10) == []


@pytest.mark.parametrize("wrong", [uuid4(), UUID(int=0)], ids=["v4", "nil"])
def test_ids_that_are_not_version_7_are_refused(notifications: Notifications, wrong: UUID) -> None:
    with pytest.raises(Invalid):
        notifications.mark(uuid4(), wrong)
    with pytest.raises(Invalid):
        notifications.page(uuid4(), before=wrong, limit=1)


def test_noting_again_changes_nothing(notifications: Notifications) -> None:
    owner, activity = uuid4(), an_activity()
    assert len({notifications.note(owner, activity, at) for at in (T0, T0, T0 + DAY, T0 - DAY)}) == 1
    assert notifications.page(owner, limit=10) == noted(activity)


def test_the_newest_detail_stays(notifications: Notifications) -> None:
    owner, activity = uuid4(), an_activity(detail="first")
    second = replace(activity, detail="second")
    notifications.note(owner, second, T0 + TICK)
    notifications.note(owner, activity, T0)
    assert notifications.page(owner, limit=10) == noted(second)


def test_newest_first_whatever_the_order_of_noting(notifications: Notifications) -> None:
    owner, some = uuid4(), activities(40, since=100 * DAY)
    same = [an_activity(T0) for _ in range(10)]
    for activity in CHANCE.sample([*some, *same], 50):
        notifications.note(owner, activity, T0)
    assert notifications.page(owner, limit=100) == noted(*some, *same)


@pytest.mark.parametrize("size", [1, 3, 7, 30, 31])
def test_pages_have_no_gap_and_nothing_twice(notifications: Notifications, size: int) -> None:
    owner, some = uuid4(), activities(30, since=300 * DAY)
    for activity in some:
        notifications.note(owner, activity, T0)
    seen: list[StoredActivity] = []
    for _ in range(40):
        page = notifications.page(owner, before=seen[-1].id if seen else None, limit=size)
        seen += page
        if len(page) < size:
            break
    assert seen == noted(*some)


def test_a_page_begins_below_its_bound(notifications: Notifications) -> None:
    owner, some = uuid4(), activities(3)
    for activity in some[:2]:
        notifications.note(owner, activity, T0)
    newest, older = noted(*some[:2])
    assert notifications.page(owner, before=newest.id, limit=9) == [older]
    assert notifications.page(owner, before=UUID(int=newest.id.int + 1), limit=9) == [newest, older]
    assert notifications.page(owner, before=older.id, limit=9) == []
    for limit in (0, -1):
        assert notifications.page(owner, limit=limit) == []


@pytest.mark.parametrize("withdrawn_first", [False, True])
@pytest.mark.parametrize(
    ("later", "there"), [(-DAY, False), (-TICK, False), (0 * TICK, False), (TICK, True), (DAY, True)]
)
def test_the_newer_of_note_and_withdrawal_wins(
    notifications: Notifications, *, withdrawn_first: bool, later: timedelta, there: bool
) -> None:
    owner, activity, other = uuid4(), an_activity(), an_activity()
    notifications.note(owner, other, T0)
    steps: list[Callable[[], object]] = [
        lambda: notifications.note(owner, activity, T0 + later),
        lambda: notifications.withdraw(owner, activity, T0),
        lambda: notifications.withdraw(owner, activity, T0 - 2 * DAY),
    ]
    for step in reversed(steps) if withdrawn_first else steps:
        step()
    assert notifications.page(owner, limit=9) == (noted(activity, other) if there else noted(other))


def test_a_withdrawal_ignores_the_detail_but_not_the_time(notifications: Notifications) -> None:
    owner, activity = uuid4(), an_activity(detail="x")
    notifications.note(owner, activity, T0)
    notifications.withdraw(owner, replace(activity, number=1), T0)
    notifications.withdraw(owner, replace(activity, at=activity.at - DAY), T0)
    assert notifications.page(owner, limit=9) == noted(activity)
    notifications.withdraw(owner, replace(activity, detail=""), T0)
    assert notifications.page(owner, limit=9) == []


def test_an_activity_repeated_too_often_ends_without_notifying(notifications: Notifications) -> None:
    """The limit is per owner, activity, bucket and process: everything else still notifies."""
    owner, neighbour, activity, width = uuid4(), uuid4(), an_activity(), 10 * DAY
    begin = datetime.fromtimestamp((now().timestamp() // width.total_seconds() - 1) * width.total_seconds(), UTC)
    again = [replace(activity, at=begin + timedelta(milliseconds=n)) for n in range(MAX_TOMBSTONES + 50)]
    for one in again[:MAX_REPEATS]:
        notifications.note(owner, one, one.at)
        assert notifications.page(owner, limit=9) == noted(one)
        notifications.withdraw(owner, one, one.at)
    for one in again[MAX_REPEATS:]:
        notifications.note(owner, one, one.at)
        notifications.withdraw(owner, one, one.at)
    assert notifications.page(owner, limit=9) == []
    before, other = replace(activity, at=begin - TICK), replace(an_activity(), at=begin)
    for one in (before, other, replace(activity, at=begin + DAY)):
        notifications.note(owner, one, T0)
    notifications.note(neighbour, again[-1], T0)
    assert notifications.page(owner, limit=9) == noted(before, other)
    assert notifications.page(neighbour, limit=9) == noted(again[-1])


def test_withdrawals_beyond_the_budget_leave_activities_in(notifications: Notifications) -> None:
    owner, start = uuid4(), now() - timedelta(seconds=10)
    some = [an_activity(start + timedelta(milliseconds=n)) for n in range(MAX_TOMBSTONES + 5)]
    for activity in some:
        notifications.note(owner, activity, activity.at)
    for activity in some:
        notifications.withdraw(owner, activity, activity.at)
    left = notifications.page(owner, limit=9)
    assert left == noted(*some[MAX_TOMBSTONES:])


def test_beyond_the_retention_nothing_is_kept_or_shown(opener: Opener, notifications: Notifications) -> None:
    owner, moment = uuid4(), now().replace(microsecond=0)
    edge = moment - 10 * DAY
    reader = opener(retention=10 * DAY, clock=lambda: moment)
    later = opener(retention=10 * DAY, clock=lambda: moment + timedelta(milliseconds=1))
    beyond, last, kept = (an_activity(edge + timedelta(milliseconds=n)) for n in (-1, 0, 1))
    # Connect before the writes, since activities at the edge live only two seconds in the engine.
    assert reader.page(owner, limit=9) == later.page(owner, limit=9) == []
    for activity in (beyond, last, kept):
        assert reader.note(owner, activity, T0) == activity_id(activity)
    reader.withdraw(owner, beyond, T0)
    assert reader.page(owner, limit=9) == noted(last, kept)
    assert later.page(owner, limit=9) == noted(kept)
    assert notifications.page(owner, limit=9) == noted(last, kept)


def test_activities_expire(opener: Opener) -> None:
    owner, short = uuid4(), opener(retention=timedelta(seconds=1))
    short.note(owner, an_activity(now()), T0)
    deadline = time.monotonic() + 30
    while short.page(owner, limit=1):
        assert time.monotonic() < deadline


def marks(count: int) -> list[UUID]:
    """Read markers, three per millisecond."""
    start = int(T0.timestamp() * 1000)
    return [UUID(int=below(start + n // 3).int | 2 << 62 | CHANCE.getrandbits(62)) for n in range(count)]


def test_the_marker_never_goes_back(notifications: Notifications) -> None:
    owner, neighbour = uuid4(), uuid4()
    some = marks(12)
    for mark, highest in zip(some, itertools.accumulate(some, max), strict=True):
        notifications.mark(owner, mark)
        assert notifications.marker(owner) == highest
    for mark in CHANCE.sample(some, 12):
        notifications.mark(owner, mark)
    assert notifications.marker(owner) == max(some)
    assert notifications.marker(neighbour) is None


def test_the_highest_of_concurrent_markers_wins(opener: Opener, notifications: Notifications) -> None:
    owner, some = uuid4(), marks(60)
    CHANCE.shuffle(some)
    barrier = threading.Barrier(3)

    def climb(store: Notifications, part: list[UUID]) -> None:
        barrier.wait()
        seen = UUID(int=0)
        for mark in part:
            store.mark(owner, mark)
            present = store.marker(owner)
            assert present is not None
            assert present >= max(seen, mark)
            seen = present

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(climb, (notifications, notifications, opener()), (some[:20], some[20:40], some[40:])))
    assert notifications.marker(owner) == max(some)


def test_two_writers_end_the_same(opener: Opener, notifications: Notifications) -> None:
    """One client notes all activities while another withdraws every second one."""
    owner, some, other = uuid4(), activities(40), opener()
    barrier = threading.Barrier(2)

    def note() -> None:
        barrier.wait()
        for activity in some:
            notifications.note(owner, activity, activity.at)

    def withdraw() -> None:
        barrier.wait()
        for activity in some[::2]:
            other.withdraw(owner, activity, activity.at)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(note), pool.submit(withdraw)]:
            done.result()
    assert notifications.page(owner, limit=99) == other.page(owner, limit=99) == noted(*some[1::2])


def test_the_first_time_of_noting_stays(notifications: Notifications) -> None:
    owner, activity = uuid4(), an_activity()
    first, again = (moment_id(T0 + timedelta(seconds=n)) for n in (8, 9))
    for noted_at in (first, again, first):
        notifications.note(owner, activity, activity.at, noted_at)
    [stored] = notifications.page(owner, limit=9)
    assert (stored.noted, stored.since) == (first, first)
    notifications.withdraw(owner, activity, T0 + timedelta(minutes=1))
    notifications.note(owner, activity, activity.at, again)
    assert notifications.page(owner, limit=9) == []


def test_an_activity_without_a_time_of_noting_counts_from_its_own(notifications: Notifications) -> None:
    owner, activity = uuid4(), an_activity()
    own = notifications.note(owner, activity, activity.at)
    [stored] = notifications.page(owner, limit=9)
    assert (stored.noted, stored.since) == (None, own)


@pytest.mark.parametrize("seconds", [0, 1, 8, 4000])
def test_lowest_after_includes_activities_noted_late(notifications: Notifications, seconds: int) -> None:
    owner, neighbour, activity = uuid4(), uuid4(), an_activity()
    noted_at = moment_id(activity.at + timedelta(seconds=seconds))
    own = notifications.note(owner, activity, activity.at, noted_at)
    before, after = (moment_id(activity.at + timedelta(seconds=seconds + n)) for n in (-1, 1))
    assert notifications.lowest_after(owner, before) <= own
    assert notifications.lowest_after(owner, after) >= moment_id(activity.at + timedelta(seconds=seconds - 2))
    assert notifications.lowest_after(neighbour, before) >= moment_id(activity.at + timedelta(seconds=seconds - 4))
