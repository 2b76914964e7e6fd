"""The contract of `Notifications`: noting activities, and their pages."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.errors import Invalid
from repositories.feeds.activity_id import DETAIL_BYTES, activity_id, moment_id
from repositories.feeds.id_time import micros, millis
from repositories.feeds.notifications_port import Notifications, StoredActivity
from tests.contracts.feeds.activities import CHANCE, DAY, T0, TICK, activities, an_activity, noted


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
