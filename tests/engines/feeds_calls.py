"""Calls of a feed store that may be unavailable, for any engine."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from repositories.errors import Unavailable
from repositories.feeds import FeedStore
from repositories.feeds.id_time import below, micros
from repositories.feeds.retention import now
from repositories.records.content import PostRef
from repositories.records.feeds import Activity
from tests.engines.answering import works
from tests.engines.slack import SLACK

TIMEOUT = timedelta(seconds=0.5)
LIMIT = TIMEOUT.total_seconds() + SLACK
AT = datetime(2026, 1, 1, tzinfo=UTC)


def post(age: timedelta = timedelta()) -> PostRef:
    return PostRef(UUID(int=below(micros(now() - age) // 1000).int | 2 << 62 | uuid4().int >> 68), uuid4())


def answers(feeds: FeedStore) -> bool:
    return works(lambda: feeds.push(post(), [uuid4()], AT)) and works(lambda: feeds.home_page(uuid4(), limit=1))


def calls(feeds: FeedStore) -> list[Callable[[], object]]:
    somebody, owners = uuid4(), [uuid4() for _ in range(1000)]
    activity = Activity("like", somebody, somebody, now())
    return [
        lambda: feeds.add_to_author(post(), AT),
        lambda: feeds.remove_from_author(post(), AT),
        lambda: feeds.author_page(somebody, limit=20),
        lambda: feeds.push(post(), owners, AT),
        lambda: feeds.fill(somebody, [post() for _ in range(300)], AT),
        lambda: feeds.retract(post(), owners, AT),
        lambda: feeds.purge(somebody, somebody, AT),
        lambda: feeds.home_page(somebody, after=post().post_id, limit=20),
        lambda: feeds.trim(somebody, AT),
        lambda: list(feeds.entries(somebody)),
        lambda: feeds.notifications.note(somebody, activity, AT),
        lambda: feeds.notifications.withdraw(somebody, activity, AT),
        lambda: feeds.notifications.page(somebody, limit=20),
        lambda: feeds.notifications.marker(somebody),
        lambda: feeds.notifications.mark(somebody, post().post_id),
        lambda: feeds.load([post()], [(somebody, post())]),
        feeds.ping,
    ]


def assert_ends(call: Callable[[], object]) -> None:
    begin = time.monotonic()
    with pytest.raises(Unavailable):
        call()
    assert time.monotonic() - begin < LIMIT
