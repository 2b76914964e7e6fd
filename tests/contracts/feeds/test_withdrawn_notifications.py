"""The contract of `Notifications`: withdrawals, and activities past the retention."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from msgspec.structs import replace

from repositories.feeds.activity_id import activity_id
from repositories.feeds.notifications_port import MAX_REPEATS, Notifications
from repositories.feeds.port import MAX_TOMBSTONES
from repositories.feeds.retention import now
from tests.contracts.feeds.activities import DAY, T0, TICK, activities, an_activity, noted
from tests.contracts.feeds.feed_stores import OpenFeeds


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


def test_beyond_the_retention_nothing_is_kept_or_shown(open_feeds: OpenFeeds, notifications: Notifications) -> None:
    owner, moment = uuid4(), now().replace(microsecond=0)
    edge = moment - 10 * DAY
    reader = open_feeds(retention=10 * DAY, clock=lambda: moment).notifications
    later = open_feeds(retention=10 * DAY, clock=lambda: moment + timedelta(milliseconds=1)).notifications
    beyond, last, kept = (an_activity(edge + timedelta(milliseconds=n)) for n in (-1, 0, 1))
    # Connect before the writes, since activities at the edge live only two seconds in the engine.
    assert reader.page(owner, limit=9) == later.page(owner, limit=9) == []
    for activity in (beyond, last, kept):
        assert reader.note(owner, activity, T0) == activity_id(activity)
    reader.withdraw(owner, beyond, T0)
    assert reader.page(owner, limit=9) == noted(last, kept)
    assert later.page(owner, limit=9) == noted(kept)
    assert notifications.page(owner, limit=9) == noted(last, kept)


def test_activities_expire(open_feeds: OpenFeeds, notifications: Notifications) -> None:
    owner, short = uuid4(), open_feeds(retention=timedelta(seconds=1)).notifications
    short.note(owner, an_activity(now()), T0)
    deadline = time.monotonic() + 30
    while short.page(owner, limit=1):
        assert time.monotonic() < deadline


def test_two_writers_end_the_same(open_feeds: OpenFeeds, notifications: Notifications) -> None:
    """One client notes all activities while another withdraws every second one."""
    owner, some, other = uuid4(), activities(40), open_feeds().notifications
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
