"""The partitions of feeds in PostgreSQL: created ahead or by a write that needs one, dropped after the retention."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from repositories.feeds.layout import Layout
from repositories.feeds.postgres.store import PostgresFeeds
from repositories.feeds.retention import now
from repositories.records.content import PostRef
from repositories.records.feeds import Activity
from tests.contracts.relational_store import new_database
from tests.engines import Shared
from tests.engines.feeds_calls import post
from tests.settable_clock import Clock

DAY = timedelta(days=1)
RETENTION = 30 * DAY
TABLES = ("feeds_home", "feeds_notifications")
Open = Callable[..., PostgresFeeds]


@pytest.fixture
def url(engines: Shared) -> str:
    return new_database(engines.postgres())


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = now()
    return clock


@pytest.fixture
def opened(url: str, clock: Clock) -> Iterator[Open]:
    with contextlib.ExitStack() as opened:

        def make(*, retention: timedelta = RETENTION, days: int = 10) -> PostgresFeeds:
            feeds = PostgresFeeds(
                url,
                timeout=timedelta(seconds=10),
                pool=2,
                retention=retention,
                layout=Layout(home_days=days, peak_per_day=1000),
                clock=clock,
            )
            opened.callback(feeds.close)
            return feeds

        yield make


@pytest.fixture
def feeds(opened: Open) -> PostgresFeeds:
    feeds = opened()
    feeds.migrate()
    return feeds


def partitions(url: str, table: str = "feeds_home") -> list[str]:
    with psycopg.connect(url) as own:
        rows = own.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1", [table]
        )
        return [name for (name,) in rows]


def home(feeds: PostgresFeeds, owner: object) -> list[PostRef]:
    return feeds.home_page(owner, limit=99)  # type: ignore[arg-type]


def test_a_migration_creates_partitions_for_the_retention_and_one_ahead(url: str, opened: Open) -> None:
    feeds = opened()
    planned = feeds.migrate(dry_run=True)
    assert feeds.migrate() == planned
    assert feeds.migrate() == []
    for table in TABLES:
        found = partitions(url, table)
        assert len(found) == 5
        assert {f"feeds: partition {name}" for name in found} <= set(planned)


def test_a_long_retention_needs_few_partitions(url: str, opened: Open) -> None:
    opened(retention=4000 * DAY, days=1).migrate()
    assert len(partitions(url)) <= 14


def test_a_write_creates_missing_partitions_and_loses_no_row(url: str, opened: Open, feeds: PostgresFeeds) -> None:
    """Four clients write concurrently, also posts dated far in the future, since clocks may be wrong."""
    owner, posts = uuid4(), [post(), *(post(-age * DAY) for age in (100, 200, 300))]
    clients = [opened() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: one.fill(owner, posts, now()), clients))
    assert home(feeds, owner) == posts[::-1]
    assert len(partitions(url)) == 8


def test_a_dropped_partition_is_created_again_by_a_write(url: str, feeds: PostgresFeeds) -> None:
    """A process with a shorter retention may have dropped it."""
    owner, posts = uuid4(), [post(20 * DAY), post()]
    feeds.fill(owner, posts, now())
    with psycopg.connect(url) as own:
        for name in partitions(url):
            own.execute(f"DROP TABLE {name}".encode())
    assert home(feeds, owner) == []
    feeds.fill(owner, posts, now())
    assert home(feeds, owner) == posts[::-1]


def test_partitions_of_another_width_fill_the_gaps(url: str, opened: Open, feeds: PostgresFeeds) -> None:
    wide = opened(retention=60 * DAY, days=35)
    wide.migrate()
    owner, posts = uuid4(), [post(age * DAY) for age in range(59, -60, -1)]
    wide.fill(owner, posts, now())
    assert wide.home_page(owner, limit=200) == posts[::-1]
    assert opened(days=3).migrate() == []


def test_a_sweep_creates_the_next_partitions_and_drops_expired_ones(
    url: str, clock: Clock, feeds: PostgresFeeds
) -> None:
    owner, before = uuid4(), partitions(url)
    old, new = post(29 * DAY), post()
    feeds.fill(owner, [old, new], now())
    feeds.notifications.note(owner, Activity("like", owner, owner, now() - 29 * DAY), now())
    assert feeds.sweep() == 0
    clock.now += 20 * DAY
    assert feeds.sweep() == 8
    assert feeds.sweep() == 0
    for table in TABLES:
        found = partitions(url, table)
        assert len(found) == 5
    assert partitions(url)[:3] == before[2:]
    assert home(feeds, owner) == [new]
    assert feeds.notifications.page(owner, limit=9) == []


def test_a_drop_does_not_wait_for_readers_and_is_retried(url: str, clock: Clock, feeds: PostgresFeeds) -> None:
    owner, new = uuid4(), post()
    feeds.push(new, [owner], now())
    clock.now += 20 * DAY
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM feeds_home")
        assert feeds.sweep() == 6
        assert home(feeds, owner) == [new]
        assert len(partitions(url)) == 7
    clock.now += timedelta(hours=1)
    assert feeds.sweep() == 2
    assert len(partitions(url)) == 5


def test_an_interrupted_detachment_is_finished_first(url: str, feeds: PostgresFeeds) -> None:
    """Until then the rows of the partition are invisible, and no rows can be written to it."""
    owner, (kept, new) = uuid4(), (post(), post())
    feeds.push(kept, [owner], now())
    name = partitions(url)[-2]
    with psycopg.connect(url) as reader, psycopg.connect(url, autocommit=True) as own:
        reader.execute("SELECT count(*) FROM feeds_home")
        own.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            own.execute(f"ALTER TABLE feeds_home DETACH PARTITION {name} CONCURRENTLY".encode())
    assert home(feeds, owner) == []
    feeds.push(new, [owner], now())
    assert sorted(home(feeds, owner), key=lambda one: one.post_id) == sorted([kept, new], key=lambda one: one.post_id)
