"""Stores for the contract suites of the feeds role."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from repositories.feeds.notifications_port import Notifications
from repositories.feeds.port import FeedStore
from repositories.feeds.retention import Clock, now
from tests.contracts.feeds.feed_stores import ADAPTERS, RETENTION, OpenFeeds, maker


@pytest.fixture(scope="module", params=ADAPTERS)
def open_feeds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenFeeds]:
    """Opens clients, which are closed after the tests of the module."""
    make = maker(request, tmp_path_factory)
    opened: list[FeedStore] = []

    def open_client(*, retention: timedelta = RETENTION, clock: Clock = now, store: str = "feeds") -> FeedStore:
        opened.append(make(store, retention, clock))
        return opened[-1]

    yield open_client
    for feeds in opened:
        feeds.close()


@pytest.fixture(scope="module")
def feeds(open_feeds: OpenFeeds) -> FeedStore:
    feeds = open_feeds()
    feeds.migrate()
    return feeds


@pytest.fixture(scope="module")
def notifications(feeds: FeedStore) -> Notifications:
    return feeds.notifications
