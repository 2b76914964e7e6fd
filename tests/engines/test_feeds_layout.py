"""What `migrate` finds and creates in a keyspace; the size of entries on disk; the text of statements."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from repositories.errors import Unavailable
from repositories.feeds import layout
from repositories.feeds.activity_id import DETAIL_BYTES, moment_id
from repositories.feeds.cassandra.schema import STATEMENTS
from repositories.feeds.cassandra.store import CassandraFeeds
from repositories.feeds.embedded.store import EmbeddedFeeds
from repositories.feeds.id_time import below, micros
from repositories.feeds.layout import Layout
from repositories.feeds.retention import now
from repositories.records.content import PostRef
from repositories.records.feeds import Activity
from tests.engines import Reachable, Shared
from tests.engines.kernel import wait_until

TIMEOUT = timedelta(seconds=20)
RETENTION = timedelta(days=90)
DAY = timedelta(days=1)
Open = Callable[..., CassandraFeeds]


@pytest.fixture
def server(engines: Shared) -> Reachable:
    return engines.cassandra()


@pytest.fixture
def open_feeds(server: Reachable) -> Iterator[Open]:
    keyspace, opened = f"layout_{uuid4().hex[:8]}", []

    def open_feeds(layout: Layout = Layout(), retention: timedelta = RETENTION) -> CassandraFeeds:  # noqa: B008
        url = f"{server.url.rpartition('/')[0]}/{keyspace}"
        opened.append(CassandraFeeds(url, timeout=TIMEOUT, retention=retention, layout=layout))
        return opened[-1]

    yield open_feeds
    opened[0]._link.schema(f"DROP KEYSPACE IF EXISTS {keyspace}")
    for feeds in opened:
        feeds.close()


def schema(feeds: CassandraFeeds, text: str) -> list[tuple[object, ...]]:
    return feeds._link.schema(text.replace("KS", feeds._plan._keyspace))


def posts(count: int) -> list[PostRef]:
    start = micros(now()) // 1000
    return [PostRef(UUID(int=below(start - n).int | 2 << 62 | uuid4().int >> 68), uuid4()) for n in range(count)]


def test_bucket_widths_are_stored_and_other_widths_refused(open_feeds: Open) -> None:
    narrow = Layout(author_days=30, home_days=2)
    feeds, owner, (post,) = open_feeds(narrow), uuid4(), posts(1)
    assert [line for line in feeds.migrate() if "wide" in line] == [
        "feeds: buckets of author timelines are 30 days wide",
        "feeds: buckets of home timelines are 2 days wide",
    ]
    feeds.push(post, [owner], now())
    for wrong, name in ((Layout(author_days=30), "HOME_BUCKET_DAYS=2"), (Layout(home_days=2), "AUTHOR_BUCKET_DAYS=30")):
        other = open_feeds(wrong)
        for call in (
            other.migrate,
            lambda other=other: other.home_page(owner, limit=1),
            lambda other=other: other.push(post, [owner], now()),
        ):
            with pytest.raises(RuntimeError, match=name):
                call()
    again = open_feeds(narrow)
    assert again.home_page(owner, limit=9) == [post]
    assert again.migrate() == []


def test_a_keyspace_of_an_earlier_version_keeps_its_bucket_widths(open_feeds: Open) -> None:
    feeds, owner, (post,) = open_feeds(), uuid4(), posts(1)
    feeds.migrate()
    feeds.push(post, [owner], now())
    for table in ("bucket_widths", "notifications", "notification_buckets", "read_markers"):
        schema(feeds, f"DROP TABLE KS.{table}")
    schema(feeds, "CREATE TABLE KS.home_floor (owner_id uuid PRIMARY KEY, floor uuid)")
    narrow = open_feeds(Layout(home_days=5))
    with pytest.raises(RuntimeError, match="QUARTET_FEEDS_HOME_BUCKET_DAYS=10"):
        narrow.migrate()
    same = open_feeds()
    with pytest.raises(Unavailable):
        same.home_page(owner, limit=1)
    planned = same.migrate(dry_run=True)
    assert "home_floor" in planned[0]
    assert same.migrate() == planned
    assert same.migrate() == []
    assert same.home_page(owner, limit=9) == [post]
    assert not schema(
        feeds, "SELECT * FROM system_schema.tables WHERE keyspace_name = 'KS' AND table_name = 'home_floor'"
    )


def test_notifications_survive_the_renaming_of_their_columns(open_feeds: Open) -> None:
    feeds, owner, at = open_feeds(), uuid4(), now()
    feeds.migrate()
    activity_id = feeds.notifications.note(owner, Activity("like", uuid4(), uuid4(), at), at)
    page = feeds.notifications.page(owner, limit=9)
    schema(feeds, "ALTER TABLE KS.notifications RENAME activity_id TO fact_id")
    schema(feeds, "ALTER TABLE KS.notifications DROP noted")
    schema(feeds, "DROP TABLE KS.read_markers")
    schema(feeds, "CREATE TABLE KS.notification_marker (owner_id uuid PRIMARY KEY, fact_id uuid)")
    marked = f"INSERT INTO KS.notification_marker (owner_id, fact_id) VALUES ({owner}, {activity_id})"  # noqa: S608
    schema(feeds, marked)
    later = open_feeds()
    planned = later.migrate(dry_run=True)
    assert later.migrate() == planned != []
    assert later.migrate() == []
    assert later.notifications.page(owner, limit=9) == page
    assert later.notifications.marker(owner) == activity_id


def test_an_interrupted_migration_is_completed(open_feeds: Open) -> None:
    feeds = open_feeds(Layout(home_days=2))
    planned = feeds.migrate()
    schema(feeds, "TRUNCATE KS.bucket_widths")
    schema(feeds, "DROP TABLE KS.author_timeline")
    other = open_feeds(Layout(home_days=2))
    with pytest.raises(Unavailable):
        other.home_page(uuid4(), limit=1)
    assert len(other.migrate()) == 3 < len(planned)
    assert other.home_page(uuid4(), limit=1) == []


def test_without_stored_bucket_widths_a_read_asks_for_migrate(open_feeds: Open) -> None:
    open_feeds().migrate()
    schema(open_feeds(), "TRUNCATE KS.bucket_widths")
    with pytest.raises(Unavailable, match="quartet migrate"):
        open_feeds().home_page(uuid4(), limit=1)


@pytest.mark.parametrize(
    ("days", "retention", "window"), [(10, 90 * DAY, "10"), (2, 90 * DAY, "2"), (2, 400 * DAY, "8"), (1, DAY, "1")]
)
def test_compaction_windows_follow_the_width(open_feeds: Open, days: int, retention: timedelta, window: str) -> None:
    feeds = open_feeds(Layout(home_days=days), retention)
    feeds.migrate()
    for table in ("home_timeline", "notifications"):
        ((options, ttl),) = feeds._link.schema(
            "SELECT compaction, default_time_to_live FROM system_schema.tables "
            "WHERE keyspace_name = %s AND table_name = %s",
            (feeds._plan._keyspace, table),
        )
        assert options["compaction_window_size"] == window
        assert ttl == retention // timedelta(seconds=1)


@pytest.mark.proof
def test_entries_on_disk_are_no_larger_than_the_layout_assumes(open_feeds: Open, server: Reachable) -> None:
    """The size is measured on disk without compression, since the limits of a partition are in such bytes."""
    feeds, owner, count = open_feeds(), uuid4(), 20_000
    feeds.migrate()
    tables = {
        "author_timeline": layout.AUTHOR_BYTES,
        "home_timeline": layout.HOME_BYTES,
        "notifications": layout.NOTIFICATION_BYTES,
    }
    for table in tables:
        schema(feeds, f"ALTER TABLE KS.{table} WITH compression = {{'enabled': false}}")
    some, at = posts(count), now()
    feeds.load((PostRef(post.post_id, owner) for post in some), [])
    feeds.fill(owner, some, at)
    activities = [
        Activity("comment", uuid4(), uuid4(), at - timedelta(milliseconds=n), n, "x" * DETAIL_BYTES) for n in range(500)
    ]
    for activity in activities:
        feeds.notifications.note(owner, activity, at, moment_id(at + timedelta(seconds=9)))
    for table, reckoned in tables.items():
        entries = len(activities) if table == "notifications" else count
        schema(feeds, f"ALTER TABLE KS.{table} WITH memtable_flush_period_in_ms = 200")
        folder = server.folder / "data" / feeds._plan._keyspace
        # A busy server may have flushed a part of the entries earlier.
        least = reckoned / 2 * entries
        assert wait_until(lambda: size_of(folder, table) > least, 30), table  # noqa: B023 - called in its iteration
        measured = size_of(folder, table) / entries
        print(f"{table}: {measured:.1f} bytes an entry")  # noqa: T201 - shown on failure
        assert measured <= reckoned


def size_of(folder: Path, table: str) -> int:
    """The size of completely flushed data files."""
    flushed = [file.name.replace("TOC.txt", "Data.db") for file in folder.glob(f"{table}-*/*-TOC.txt")]
    return sum(file.stat().st_size for file in folder.glob(f"{table}-*/*-Data.db") if file.name in flushed)


@pytest.mark.parametrize("name", [n for n, text in STATEMENTS.items() if not text.startswith("SELECT")])
def test_every_write_has_the_time_of_its_event(name: str) -> None:
    text = STATEMENTS[name]
    assert text.startswith(("INSERT", "DELETE", "BEGIN UNLOGGED BATCH"))
    assert "USING TIMESTAMP ?" in text
    assert " IF " not in text


def test_every_statement_is_prepared_and_may_be_repeated(open_feeds: Open) -> None:
    feeds = open_feeds()
    feeds.migrate()
    prepared = feeds._link._statements.get(20)
    assert prepared.keys() == STATEMENTS.keys()
    assert all(statement.is_idempotent for statement in prepared.values())


def test_the_embedded_adapter_drops_the_former_table_too(tmp_path: Path) -> None:
    feeds = EmbeddedFeeds(f"sqlite:///{tmp_path}/x.db", retention=RETENTION)
    feeds.migrate()
    with feeds._database.write() as connection:
        connection.execute("CREATE TABLE feeds_floor (owner BLOB)")
    assert feeds.migrate(dry_run=True) == feeds.migrate() == ["feeds: DROP TABLE feeds_floor"]
    assert feeds.migrate() == []
    feeds.close()


def test_the_embedded_adapter_adds_the_noted_column(tmp_path: Path) -> None:
    feeds, owner, at = EmbeddedFeeds(f"sqlite:///{tmp_path}/x.db", retention=RETENTION), uuid4(), now()
    feeds.migrate()
    feeds.notifications.note(owner, Activity("like", uuid4(), uuid4(), at), at)
    page = feeds.notifications.page(owner, limit=9)
    with feeds._database.write() as connection:
        connection.execute("DROP INDEX feeds_notifications_noted")
        connection.execute("ALTER TABLE feeds_notifications DROP COLUMN noted")
    assert "feeds: add feeds_notifications.noted" in feeds.migrate()
    assert feeds.migrate() == []
    assert feeds.notifications.page(owner, limit=9) == page
    feeds.close()


def test_a_page_takes_two_reads_for_sparse_and_dense_feeds(open_feeds: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    feeds, (sparse, dense) = open_feeds(), (uuid4(), uuid4())
    feeds.migrate()
    start = micros(now()) // 1000
    old = [PostRef(UUID(int=below(start - n * 10 * 86_400_000).int | 2 << 62), uuid4()) for n in range(8)]
    feeds.fill(sparse, old, now())
    feeds.fill(dense, [*posts(40), *old], now())
    read, asked = feeds._link.read, list[int]()

    def noted(calls: list[tuple[str, tuple[object, ...]]], deadline: float) -> object:
        asked.append(len(calls))
        return read(calls, deadline)

    monkeypatch.setattr(feeds._link, "read", noted)
    for owner, entries in ((sparse, 8), (dense, 32)):
        asked.clear()
        assert len(feeds.home_page(owner, limit=32)) == entries
        assert asked == [1, 1]
