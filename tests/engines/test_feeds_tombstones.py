"""The cost of reading feeds with many deletions: the tombstones read, from the server's traces, and the statements.

`QUARTET_TOMBSTONES` sets the number of deletions in a feed; the long form of the proof makes 100,000.
"""

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from repositories.feeds.cassandra.link import Call, Row
from repositories.feeds.cassandra.store import CassandraFeeds
from repositories.feeds.id_time import below, micros
from repositories.feeds.layout import Layout
from repositories.feeds.port import MAX_TOMBSTONES
from repositories.feeds.retention import now
from repositories.records.content import PostRef
from repositories.records.feeds import Activity
from tests.engines import Shared

ENTRIES = int(os.environ.get("QUARTET_TOMBSTONES", "5000"))
PAGE = 20
TICK = timedelta(microseconds=1)
AT = now() - timedelta(minutes=1)
# A page of a stale feed may send at most this many times as many statements as one of a clean feed.
MORE = 3
TOLD = re.compile(r"Read (\d+) live rows and (\d+) tombstone cells")


@pytest.fixture(scope="module")
def feeds(engines: Shared) -> Iterator[CassandraFeeds]:
    server = engines.cassandra().url.rpartition("/")[0]
    url = f"{server}/tombstones_{uuid4().hex[:8]}"
    feeds = CassandraFeeds(url, timeout=timedelta(seconds=20), retention=timedelta(days=90))
    feeds.migrate()
    yield feeds
    feeds.close()


def burst(count: int, authors: list[UUID]) -> list[PostRef]:
    """Posts within the last complete bucket, oldest first, the older half by these authors."""
    width = Layout().home.width_ms
    start = (micros(now()) // 1000 // width - 1) * width
    ids = (UUID(int=below(start + n).int | 2 << 62 | uuid4().int >> 68) for n in range(count))
    return [PostRef(post_id, authors[n % len(authors)] if 2 * n < count else uuid4()) for n, post_id in enumerate(ids)]


class Reader:
    """Reads pages, and reports how many tombstones each statement passed, from the server's traces."""

    def __init__(self, feeds: CassandraFeeds, monkeypatch: pytest.MonkeyPatch) -> None:
        self._link = feeds._link
        self._monkeypatch = monkeypatch

    def tombstones(self, read: Callable[[], object]) -> list[int]:
        passed: list[int] = []

        def traced(calls: list[Call], _deadline: float) -> list[list[Row]]:
            results = [self._traced(*call) for call in calls]
            passed.extend(count for _, count in results)
            return [rows for rows, _ in results]

        with self._monkeypatch.context() as patched:
            patched.setattr(self._link, "read", traced)
            read()
        assert passed
        return passed

    def _traced(self, name: str, values: object) -> tuple[list[Row], int]:
        statement = self._link._statements.get(20)[name]
        future = self._link._session.get(20).execute_async(statement, values, trace=True)
        rows = list(future.result())
        assert not future.warnings
        told = [TOLD.search(event.description) for event in future.get_query_trace(max_wait=10).events]
        counts = [int(found[2]) for found in told if found]
        assert counts
        return rows, sum(counts)


@pytest.fixture
def reader(feeds: CassandraFeeds, monkeypatch: pytest.MonkeyPatch) -> Reader:
    return Reader(feeds, monkeypatch)


@pytest.fixture(scope="module")
def clean(feeds: CassandraFeeds) -> tuple[UUID, list[PostRef]]:
    owner, posts = uuid4(), burst(ENTRIES, [uuid4()])
    feeds.fill(owner, posts, AT)
    return owner, posts


def pages(feeds: CassandraFeeds, owner: UUID, posts: list[PostRef]) -> list[Callable[[], list[PostRef]]]:
    """Reads of pages: from the top, from the bottom, and across the removed entries in both directions."""
    newest, below_them, lowest = posts[-1].post_id, posts[-MAX_TOMBSTONES - PAGE].post_id, posts[0].post_id
    return [
        lambda: feeds.home_page(owner, limit=PAGE),
        lambda: feeds.home_page(owner, before=newest, limit=PAGE),
        lambda: feeds.home_page(owner, before=below_them, limit=PAGE),
        lambda: feeds.home_page(owner, after=below_them, limit=PAGE),
        lambda: feeds.home_page(owner, after=lowest, limit=PAGE),
    ]


def assert_as_few(reader: Reader, stale: Callable[[], object], clean: Callable[[], object]) -> None:
    """A page of a stale feed sends at most `MORE` times as many statements as one of a clean feed."""
    asked, at_least = len(reader.tombstones(stale)), len(reader.tombstones(clean))
    assert asked <= MORE * at_least, (asked, at_least)


@pytest.mark.long
def test_pages_of_a_feed_with_many_deletions_read_few_tombstones(
    feeds: CassandraFeeds, reader: Reader, clean: tuple[UUID, list[PostRef]]
) -> None:
    owner, authors = uuid4(), [uuid4() for _ in range(5)]
    posts = burst(ENTRIES, authors)
    feeds.fill(owner, posts, AT)
    for post in reversed(posts):
        if post.author_id not in authors:
            feeds.retract(post, [owner], AT)
    assert [feeds.purge(owner, author, AT) for author in authors] == [False] * len(authors)
    assert sum(1 for _ in feeds.entries(owner)) == ENTRIES - MAX_TOMBSTONES
    counted = [reader.tombstones(page) for page in pages(feeds, owner, posts)]
    print(counted)  # noqa: T201
    assert max(max(each) for each in counted) > MAX_TOMBSTONES / 2
    assert max(sum(each) for each in counted) <= MAX_TOMBSTONES
    for page, same in zip(pages(feeds, owner, posts), pages(feeds, *clean), strict=True):
        assert page()
        assert_as_few(reader, page, same)

    feeds.trim(owner, AT)
    feeds.fill(owner, posts[-MAX_TOMBSTONES:], AT + TICK)
    filled = [
        *pages(feeds, owner, posts)[:2],
        lambda: feeds.home_page(owner, after=posts[-MAX_TOMBSTONES].post_id, limit=PAGE),
    ]
    counted = [reader.tombstones(page) for page in filled]
    assert max(sum(each) for each in counted) == 0
    for page, same in zip(filled, pages(feeds, *clean)[:3], strict=True):
        assert page()
        assert_as_few(reader, page, same)

    feeds.trim(owner, now())
    assert feeds.home_page(owner, limit=PAGE) == []
    assert sum(reader.tombstones(lambda: feeds.home_page(owner, limit=PAGE))) == 0


def test_pages_of_an_author_who_deleted_everything_read_few_tombstones(feeds: CassandraFeeds, reader: Reader) -> None:
    author = uuid4()
    posts = [PostRef(post.post_id, author) for post in burst(10 * MAX_TOMBSTONES, [author])]
    feeds.load(posts, [])
    for post in reversed(posts):
        feeds.remove_from_author(post, AT)
    newest = posts[-MAX_TOMBSTONES - 1]
    assert feeds.author_page(author, limit=1) == [newest]
    for read in (
        lambda: feeds.author_page(author, limit=PAGE),
        lambda: feeds.author_page(author, after=newest.post_id, limit=PAGE),
    ):
        assert MAX_TOMBSTONES / 2 < sum(reader.tombstones(read)) <= MAX_TOMBSTONES


def test_a_like_withdrawn_in_a_loop_leaves_few_tombstones_to_read(feeds: CassandraFeeds, reader: Reader) -> None:
    owner, start = uuid4(), datetime.fromtimestamp(burst(1, [uuid4()])[0].post_id.int // (1 << 80) / 1000, UTC)
    like = Activity("like", uuid4(), uuid4(), start)
    other = replace(like, actor=uuid4())
    feeds.notifications.note(owner, other, AT)
    for n in range(ENTRIES // 10):
        again = replace(like, at=start + timedelta(milliseconds=n))
        feeds.notifications.note(owner, again, AT)
        feeds.notifications.withdraw(owner, again, AT)
    assert [one.activity.actor for one in feeds.notifications.page(owner, limit=PAGE)] == [other.actor]
    assert 0 < sum(reader.tombstones(lambda: feeds.notifications.page(owner, limit=PAGE))) <= MAX_TOMBSTONES


def test_many_withdrawn_likes_leave_few_tombstones_to_read(feeds: CassandraFeeds, reader: Reader) -> None:
    owner, start = uuid4(), datetime.fromtimestamp(burst(1, [uuid4()])[0].post_id.int // (1 << 80) / 1000, UTC)
    likes = [Activity("like", owner, uuid4(), start + timedelta(milliseconds=n)) for n in range(2 * MAX_TOMBSTONES)]
    for like in likes:
        feeds.notifications.note(owner, like, AT)
    for like in reversed(likes):
        feeds.notifications.withdraw(owner, like, AT)
    assert len(feeds.notifications.page(owner, limit=PAGE)) == PAGE
    passed = reader.tombstones(lambda: feeds.notifications.page(owner, limit=PAGE))
    assert MAX_TOMBSTONES / 2 < sum(passed) <= MAX_TOMBSTONES
