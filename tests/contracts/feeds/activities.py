"""Activities for tests of notifications."""

import random
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from repositories.feeds.activity_id import activity_id
from repositories.feeds.notifications_port import StoredActivity
from repositories.feeds.retention import now
from repositories.records.feeds import Activity

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
T0 = now() - DAY
CHANCE = random.Random(11)  # noqa: S311 - test data


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
