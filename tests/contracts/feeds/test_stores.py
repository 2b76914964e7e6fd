"""The contract of `FeedStore`: opening and migrating stores."""

from typing import Any
from uuid import uuid4

import pytest

from repositories.errors import Unavailable
from repositories.feeds import open_store
from repositories.feeds.port import FeedStore
from tests.contracts.feeds.feed_stores import RETENTION, TIMEOUT, OpenFeeds
from tests.contracts.feeds.timelines import DAY, T0, home, newest_first, refs


def test_two_clients_see_each_others_writes(open_feeds: OpenFeeds, feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    posts = refs(3, author=author, since=2 * DAY)
    feeds.push(posts[0], [owner], T0)
    feeds.add_to_author(posts[0], T0)
    other = open_feeds()
    assert home(other, owner) == posts[:1]
    for post in posts[1:]:
        other.push(post, [owner], T0)
        other.add_to_author(post, T0)
    other.close()
    assert home(feeds, owner) == feeds.author_page(author, limit=9) == newest_first(posts)


def test_migrate_is_idempotent_and_a_dry_run_changes_nothing(open_feeds: OpenFeeds) -> None:
    store = open_feeds(store="migrated")
    planned = store.migrate(dry_run=True)
    with pytest.raises(Unavailable):
        store.home_page(uuid4(), limit=1)
    with pytest.raises(Unavailable):
        store.add_to_author(refs(1)[0], T0)
    assert planned
    assert store.migrate() == planned
    assert store.migrate() == []
    assert store.migrate(dry_run=True) == []
    assert open_feeds(store="migrated").migrate() == []
    feed, (post,) = uuid4(), refs(1)
    store.push(post, [feed], T0)
    assert home(store, feed) == [post]


def test_ping(feeds: FeedStore) -> None:
    feeds.ping()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:///unused.db", "EmbeddedFeeds"),
        ("postgresql://127.0.0.1:1/feeds", "PostgresFeeds"),
        ("cassandra://127.0.0.1:1/feeds", "CassandraFeeds"),
    ],
)
def test_the_scheme_decides_and_nothing_connects(url: str, kind: str) -> None:
    feeds = open_store(url, timeout=TIMEOUT, pool=1, retention=RETENTION, replication="dc1:3,dc2:2")
    assert type(feeds).__name__ == kind
    feeds.close()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"home_bucket_days": 30}, "QUARTET_FEEDS_HOME_BUCKET_DAYS=30 and QUARTET_FEEDS_PEAK_PER_DAY=20000"),
        ({"author_bucket_days": 365}, "QUARTET_FEEDS_AUTHOR_BUCKET_DAYS=365"),
        ({"peak_per_day": 100_000}, "QUARTET_FEEDS_PEAK_PER_DAY=100000"),
        ({"home_bucket_days": 0}, "1 or more"),
        ({"peak_per_day": 0}, "1 or more"),
    ],
)
@pytest.mark.parametrize("url", ["sqlite:///unused.db", "cassandra://127.0.0.1:1/feeds"])
def test_buckets_that_could_become_too_large_are_refused(url: str, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        open_store(url, timeout=TIMEOUT, pool=1, retention=RETENTION, **settings)


def test_narrow_buckets_allow_a_higher_peak() -> None:
    open_store(
        "cassandra://127.0.0.1:1/feeds",
        timeout=TIMEOUT,
        pool=1,
        retention=RETENTION,
        author_bucket_days=10,
        home_bucket_days=1,
        peak_per_day=200_000,
    ).close()
