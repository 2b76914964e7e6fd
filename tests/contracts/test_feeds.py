"""The contract of `FeedStore`, for every adapter."""

import functools
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4

import pytest

from repositories.errors import Invalid, Unavailable
from repositories.feeds import open_store
from repositories.feeds.layout import DAY_MS
from repositories.feeds.port import MAX_TOMBSTONES, FeedStore
from repositories.feeds.retention import Clock, now
from repositories.records import PostRef
from tests.contracts.relational_store import new_database
from tests.engines import Reachable, Shared

RETENTION = timedelta(days=4 * 365)
TIMEOUT = timedelta(seconds=10)
DAY = timedelta(days=1)
T0 = datetime(2026, 1, 1, tzinfo=UTC)
CHANCE = random.Random(7)  # noqa: S311 - test data


class Opener(Protocol):
    """Opens another client of the same store, or of a new store without tables."""

    def __call__(self, *, retention: timedelta = ..., clock: Clock = ..., store: str = ...) -> FeedStore: ...


ADAPTERS = ["embedded", *(pytest.param(engine, marks=pytest.mark.engines) for engine in ("postgres", "cassandra"))]


@pytest.fixture(scope="module", params=ADAPTERS)
def opener(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    run = uuid4().hex[:8]
    make = maker(request, tmp_path_factory)
    opened: list[FeedStore] = []

    def opener(*, retention: timedelta = RETENTION, clock: Clock = now, store: str = "feeds") -> FeedStore:
        opened.append(make(f"{store}_{run}", retention, clock))
        return opened[-1]

    yield opener
    for feeds in opened:
        feeds.close()


Make = Callable[[str, timedelta, Clock], FeedStore]


def maker(request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Make:
    """A function that opens a client of a store by name."""
    if request.param == "embedded":
        return _embedded(folders.mktemp("feeds"))
    engines: Shared = request.getfixturevalue("engines")
    return _cassandra(engines.cassandra()) if request.param == "cassandra" else _postgres(engines.postgres())


def _embedded(folder: Path) -> Make:
    from repositories.feeds.embedded.store import EmbeddedFeeds

    return lambda name, retention, clock: EmbeddedFeeds(
        f"sqlite:///{folder}/{name}.db", retention=retention, clock=clock
    )


def _postgres(server: Reachable) -> Make:
    from repositories.feeds.postgres.store import PostgresFeeds

    url = functools.cache(lambda _name: new_database(server))
    return lambda name, retention, clock: PostgresFeeds(
        url(name), timeout=TIMEOUT, pool=4, retention=retention, clock=clock
    )


def _cassandra(server: Reachable) -> Make:
    from repositories.feeds.cassandra.store import CassandraFeeds

    keyspaces = server.url.rpartition("/")[0]
    return lambda name, retention, clock: CassandraFeeds(
        f"{keyspaces}/{name}", timeout=TIMEOUT, retention=retention, clock=clock
    )


@pytest.fixture(scope="module")
def feeds(opener: Opener) -> FeedStore:
    feeds = opener()
    feeds.migrate()
    return feeds


def post_id(at: datetime | int, low: int | None = None) -> UUID:
    """A UUIDv7 of a time. `low` are its other 74 bits, by default random."""
    milliseconds = at if isinstance(at, int) else int(at.timestamp() * 1000)
    free = CHANCE.getrandbits(74) if low is None else low
    return UUID(int=milliseconds << 80 | 7 << 76 | (free >> 62) << 64 | 2 << 62 | free & (1 << 62) - 1)


def refs(count: int, *, author: UUID | None = None, since: timedelta = DAY) -> list[PostRef]:
    """Posts evenly spread over the time `since`, oldest first."""
    start, step = now() - since, since / (count + 1)
    return [PostRef(post_id(start + step * n), author or uuid4()) for n in range(count)]


def newest_first(posts: Iterable[PostRef]) -> list[PostRef]:
    return sorted(posts, key=lambda post: post.post_id, reverse=True)


def home(feeds: FeedStore, owner: UUID) -> list[PostRef]:
    return feeds.home_page(owner, limit=2000)


Page = Callable[..., list[PostRef]]


def walk_down(page: Page, key: UUID, sizes: Iterable[int]) -> list[PostRef]:
    seen: list[PostRef] = []
    for size in sizes:
        before = seen[-1].post_id if seen else None
        found = page(key, before=before, limit=size)
        seen += found
        if len(found) < size:
            break
    return seen


def walk_up(page: Page, key: UUID, sizes: Iterable[int], after: UUID) -> list[PostRef]:
    seen: list[PostRef] = []
    for size in sizes:
        found = page(key, after=seen[-1].post_id if seen else after, limit=size)
        seen += found
        if len(found) < size:
            break
    return seen


def test_nothing_is_there_at_first(feeds: FeedStore) -> None:
    assert feeds.home_page(uuid4(), limit=10) == []
    assert feeds.author_page(uuid4(), limit=10) == []
    assert feeds.author_page(uuid4(), after=post_id(T0), limit=10) == []
    assert list(feeds.entries(uuid4())) == []
    assert feeds.purge(uuid4(), uuid4(), T0)
    feeds.trim(uuid4(), T0)


def test_author_timeline_is_newest_first_and_own(feeds: FeedStore) -> None:
    ada, bob = uuid4(), uuid4()
    posts = refs(5, author=ada)
    for post in CHANCE.sample(posts, 5):
        feeds.add_to_author(post, T0)
    feeds.add_to_author(PostRef(post_id(now()), bob), T0)
    assert feeds.author_page(ada, limit=10) == newest_first(posts)
    assert feeds.author_page(ada, limit=2) == newest_first(posts)[:2]


def test_push_reaches_every_owner_once(feeds: FeedStore) -> None:
    owners = [uuid4() for _ in range(250)]
    (post,) = refs(1)
    feeds.push(post, [*owners, owners[0]], T0)
    feeds.push(post, owners, T0)
    assert all(home(feeds, owner) == [post] for owner in owners)


def test_empty_calls_do_nothing(feeds: FeedStore) -> None:
    (post,) = refs(1)
    feeds.push(post, [], T0)
    feeds.retract(post, [], T0)
    feeds.fill(uuid4(), [], T0)
    feeds.load([], [])


def test_fill_keeps_the_order_of_ids(feeds: FeedStore) -> None:
    owner, posts = uuid4(), refs(300, since=100 * DAY)
    feeds.fill(owner, CHANCE.sample(posts, 300), T0)
    assert home(feeds, owner) == newest_first(posts)


def test_repeating_changes_nothing(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    (post,) = refs(1, author=author)
    for at in (T0, T0, T0 + DAY, T0 - DAY):
        feeds.push(post, [owner], at)
        feeds.fill(owner, [post, post], at)
        feeds.add_to_author(post, at)
    assert home(feeds, owner) == [post]
    assert feeds.author_page(author, limit=10) == [post]


LOW_BITS = [0, 1, 1 << 61, (1 << 62) - 1, 1 << 62, 1 << 73, (1 << 74) - 1, 0x80, 0x7F, 0xFF << 54]


@pytest.mark.parametrize("milliseconds", [1, 1_900_000_000_000, 1 << 40, 1 << 47, (1 << 48) - 1], ids=hex)
def test_ids_of_one_millisecond_are_ordered_as_unsigned_numbers(feeds: FeedStore, milliseconds: int) -> None:
    author = uuid4()
    posts = [PostRef(post_id(milliseconds, low), author) for low in LOW_BITS]
    for post in posts:
        feeds.add_to_author(post, T0)
    assert feeds.author_page(author, limit=20) == newest_first(posts)
    assert walk_down(feeds.author_page, author, itertools.repeat(1, 20)) == newest_first(posts)
    up = walk_up(feeds.author_page, author, itertools.repeat(3, 20), after=newest_first(posts)[-1].post_id)
    assert up == newest_first(posts)[-2::-1]


def test_home_orders_ids_of_one_millisecond_too(feeds: FeedStore) -> None:
    owner, moment = uuid4(), int(now().timestamp() * 1000)
    posts = [PostRef(post_id(moment + later, low), uuid4()) for low in LOW_BITS for later in (0, 1)]
    feeds.fill(owner, posts, T0)
    assert home(feeds, owner) == newest_first(posts)
    assert walk_up(feeds.home_page, owner, itertools.repeat(3, 20), post_id(0)) == newest_first(posts)[::-1]


def test_bounds_are_exclusive_and_need_not_exist(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    posts = refs(6, author=author)
    feeds.fill(owner, posts, T0)
    feeds.load(posts, [])
    for page, key in ((feeds.home_page, owner), (feeds.author_page, author)):
        assert page(key, before=posts[3].post_id, limit=2) == [posts[2], posts[1]]
        assert page(key, after=posts[3].post_id, limit=9) == [posts[4], posts[5]]
        assert page(key, after=posts[0].post_id, limit=2) == [posts[1], posts[2]]
        assert page(key, after=posts[1].post_id, before=posts[4].post_id, limit=9) == [posts[2], posts[3]]
        assert page(key, before=posts[0].post_id, limit=2) == []
        assert page(key, after=posts[5].post_id, limit=2) == []
        between = UUID(int=posts[2].post_id.int + 1)
        assert page(key, before=between, limit=1) == [posts[2]]
        assert page(key, after=between, limit=1) == [posts[3]]


def test_home_has_nothing_below_the_low_watermark(feeds: FeedStore) -> None:
    owner, posts = uuid4(), refs(5)
    feeds.fill(owner, posts, T0)
    oldest_first = newest_first(posts)[::-1]
    low = oldest_first[2].post_id
    assert feeds.home_page(owner, limit=9, low_watermark=low) == oldest_first[:1:-1]
    assert feeds.home_page(owner, after=oldest_first[0].post_id, limit=9, low_watermark=low) == oldest_first[2:]
    assert feeds.home_page(owner, limit=9, low_watermark=UUID(int=0)) == oldest_first[::-1]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_gives_nothing(feeds: FeedStore, limit: int) -> None:
    owner = uuid4()
    feeds.fill(owner, refs(2), T0)
    assert feeds.home_page(owner, limit=limit) == []
    assert feeds.author_page(owner, limit=limit) == []


@pytest.mark.parametrize("wrong", [uuid4(), UUID(int=0), UUID(int=(1 << 128) - 1)], ids=["v4", "nil", "max"])
def test_ids_that_are_not_version_7_are_refused(feeds: FeedStore, wrong: UUID) -> None:
    post, owner = PostRef(wrong, uuid4()), uuid4()
    for call in (
        lambda: feeds.add_to_author(post, T0),
        lambda: feeds.remove_from_author(post, T0),
        lambda: feeds.push(post, [owner], T0),
        lambda: feeds.fill(owner, [post], T0),
        lambda: feeds.retract(post, [owner], T0),
        lambda: feeds.load([post], []),
        lambda: feeds.load([], [(owner, post)]),
        lambda: feeds.home_page(owner, before=wrong, limit=1),
        lambda: feeds.author_page(owner, after=wrong, limit=1),
    ):
        with pytest.raises(Invalid):
            call()


def test_pages_cover_three_years_exactly(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    posts = refs(1000, author=author, since=3 * 365 * DAY)
    feeds.load(iter(posts), ((owner, post) for post in posts))
    for page, key in ((feeds.home_page, owner), (feeds.author_page, author)):
        sizes = itertools.cycle(range(1, 8))
        assert walk_down(page, key, sizes) == posts[::-1]
        assert walk_up(page, key, sizes, after=post_id(now() - RETENTION)) == posts
        assert page(key, limit=5000) == posts[::-1]


@pytest.mark.parametrize("size", range(1, 8))
def test_pages_of_each_size_cover_bursts_and_gaps(feeds: FeedStore, size: int) -> None:
    author = uuid4()
    times = [now() - DAY * days for days in (0, 0, 0, 1, 89, 90, 91, 400, 400, 401, 3000, 9000)]
    posts = newest_first(PostRef(post_id(at), author) for at in times)
    feeds.load(posts, [])
    assert walk_down(feeds.author_page, author, itertools.repeat(size, 20)) == posts
    assert walk_up(feeds.author_page, author, itertools.repeat(size, 20), after=post_id(1)) == posts[::-1]


def test_ids_from_a_clock_that_runs_ahead(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    ahead = [PostRef(post_id(now() + DAY * days), author) for days in (0, 1, 200, 3000)]
    feeds.fill(owner, ahead, T0)
    feeds.load(ahead, [])
    for page, key in ((feeds.home_page, owner), (feeds.author_page, author)):
        assert page(key, limit=1) == ahead[-1:]
        assert page(key, limit=9) == ahead[::-1]
        assert page(key, after=ahead[0].post_id, limit=9) == ahead[1:]


def test_paging_down_while_new_posts_arrive(feeds: FeedStore) -> None:
    owner, posts = uuid4(), refs(200, since=60 * DAY)
    feeds.fill(owner, posts, T0)
    done = threading.Event()

    def arrive() -> None:
        while not done.is_set():
            feeds.push(PostRef(post_id(now()), uuid4()), [owner], now())

    with ThreadPoolExecutor(1) as pool:
        arriving = pool.submit(arrive)
        first = feeds.home_page(owner, before=posts[-1].post_id, limit=5)
        seen = first + walk_down(
            lambda key, before, limit: feeds.home_page(key, before=before or first[-1].post_id, limit=limit),
            owner,
            itertools.cycle((1, 7)),
        )
        done.set()
        arriving.result()
    assert seen == posts[-2::-1]


def test_paging_up_while_new_posts_arrive(feeds: FeedStore) -> None:
    owner, start = uuid4(), now()
    posts = [PostRef(post_id(start + timedelta(milliseconds=n)), uuid4()) for n in range(100)]

    def arrive() -> None:
        for post in posts:
            feeds.push(post, [owner], T0)

    seen: list[PostRef] = []
    with ThreadPoolExecutor(1) as pool:
        arriving = pool.submit(arrive)
        deadline = time.monotonic() + 30
        while len(seen) < len(posts) and time.monotonic() < deadline:
            after = seen[-1].post_id if seen else post_id(start - DAY)
            seen += feeds.home_page(owner, after=after, limit=7)
        arriving.result()
    assert seen == posts


def test_two_threads_push_to_the_same_owners(feeds: FeedStore) -> None:
    owners, posts = [uuid4() for _ in range(50)], refs(12)
    barrier = threading.Barrier(2)

    def push(half: int) -> None:
        barrier.wait()
        for post in posts[half * 4 : half * 4 + 8]:
            feeds.push(post, owners, T0)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(push, range(2)))
    assert all(home(feeds, owner) == newest_first(posts) for owner in owners)


def test_push_and_retract_at_the_same_time_end_the_same(feeds: FeedStore) -> None:
    owners, posts = [uuid4() for _ in range(20)], refs(10)
    barrier = threading.Barrier(2)

    def push() -> None:
        barrier.wait()
        for post in posts:
            feeds.push(post, owners, T0)

    def retract() -> None:
        barrier.wait()
        for post in posts[::2]:
            feeds.retract(post, owners, T0 + DAY)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(push), pool.submit(retract)]:
            done.result()
    assert all(home(feeds, owner) == newest_first(posts[1::2]) for owner in owners)


TICK = timedelta(microseconds=1)


@pytest.mark.parametrize("removal_first", [False, True])
@pytest.mark.parametrize(
    ("later", "there"), [(-DAY, False), (-TICK, False), (0 * TICK, False), (TICK, True), (DAY, True)]
)
def test_the_newer_of_write_and_removal_wins(
    feeds: FeedStore, *, removal_first: bool, later: timedelta, there: bool
) -> None:
    owner, author = uuid4(), uuid4()
    (post,) = refs(1, author=author)
    steps: list[Callable[[], object]] = [
        lambda: feeds.push(post, [owner], T0 + later),
        lambda: feeds.add_to_author(post, T0 + later),
        lambda: feeds.retract(post, [owner], T0),
        lambda: feeds.remove_from_author(post, T0),
    ]
    for step in reversed(steps) if removal_first else steps:
        step()
    expected = [post] if there else []
    assert home(feeds, owner) == expected
    assert feeds.author_page(author, limit=9) == expected


def test_an_older_removal_does_not_weaken_a_newer_one(feeds: FeedStore) -> None:
    owner = uuid4()
    (post,) = refs(1)
    feeds.retract(post, [owner], T0 + 2 * DAY)
    feeds.retract(post, [owner], T0)
    feeds.push(post, [owner], T0 + DAY)
    assert home(feeds, owner) == []


def test_retract_removes_one_post_from_the_named_owners(feeds: FeedStore) -> None:
    owners, (post, other) = [uuid4() for _ in range(3)], refs(2)
    feeds.push(post, owners, T0)
    feeds.push(other, owners, T0)
    feeds.retract(post, owners[:2], T0 + DAY)
    assert [home(feeds, owner) for owner in owners] == [[other], [other], [other, post]]


def test_extreme_times_are_ordered(feeds: FeedStore) -> None:
    owner = uuid4()
    early, late = refs(2)
    feeds.push(early, [owner], datetime(1, 1, 1, tzinfo=UTC))
    feeds.push(late, [owner], datetime.max.replace(tzinfo=UTC) - TICK)
    assert home(feeds, owner) == [late, early]
    feeds.retract(early, [owner], datetime(1, 1, 2, tzinfo=UTC))
    feeds.retract(late, [owner], datetime.max.replace(tzinfo=UTC))
    assert home(feeds, owner) == []


def test_purge_removes_one_author_from_one_timeline(feeds: FeedStore) -> None:
    owner, neighbour, author = uuid4(), uuid4(), uuid4()
    theirs, others = refs(30, author=author, since=300 * DAY), refs(30, since=300 * DAY)
    for reader in (owner, neighbour):
        feeds.fill(reader, theirs + others, T0)
    feeds.purge(owner, author, T0 + DAY)
    feeds.purge(owner, author, T0 + DAY)
    assert home(feeds, owner) == newest_first(others)
    assert len(home(feeds, neighbour)) == 60


@pytest.mark.parametrize(("later", "there"), [(-TICK, False), (0 * TICK, False), (TICK, True)])
def test_purge_keeps_newer_entries(feeds: FeedStore, later: timedelta, *, there: bool) -> None:
    owner, author = uuid4(), uuid4()
    posts = refs(3, author=author)
    feeds.fill(owner, posts, T0 + later)
    feeds.purge(owner, author, T0)
    assert home(feeds, owner) == (newest_first(posts) if there else [])


def test_a_new_follow_restores_purged_posts_and_an_old_push_does_not(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    posts = refs(5, author=author)
    feeds.fill(owner, posts, T0)
    feeds.purge(owner, author, T0 + DAY)
    feeds.push(posts[0], [owner], T0 + DAY)
    feeds.load([], [(owner, post) for post in posts if post.post_id < post_id(T0)])
    assert home(feeds, owner) == []
    feeds.fill(owner, posts, T0 + DAY + TICK)
    assert home(feeds, owner) == newest_first(posts)


def test_purge_does_not_affect_later_pushes(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    unseen, retracted = refs(2, author=author)
    feeds.retract(retracted, [owner], T0)
    feeds.purge(owner, author, T0 + 9 * DAY)
    feeds.push(unseen, [owner], T0 + DAY)
    feeds.push(retracted, [owner], T0 + DAY)
    assert home(feeds, owner) == [retracted, unseen]


def test_purge_of_more_than_one_chunk(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    feeds.fill(owner, refs(1500, author=author, since=60 * DAY), T0)
    assert feeds.purge(owner, author, T0)
    assert home(feeds, owner) == []


def test_load_does_not_undo_earlier_removals(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    posts = refs(4, author=author)
    feeds.load(posts, [(owner, post) for post in posts])
    feeds.retract(posts[0], [owner], now())
    feeds.remove_from_author(posts[0], now())
    feeds.load(posts, [(owner, post) for post in posts])
    assert home(feeds, owner) == newest_first(posts[1:])
    assert feeds.author_page(author, limit=9) == newest_first(posts[1:])


def test_load_takes_its_times_from_the_ids(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    post = PostRef(post_id(now() - DAY), author)
    at = datetime.fromtimestamp((post.post_id.int >> 80) / 1000, UTC)
    feeds.retract(post, [owner], at - timedelta(milliseconds=1))
    feeds.remove_from_author(post, at - timedelta(milliseconds=1))
    feeds.load([post], [(owner, post)])
    assert home(feeds, owner) == feeds.author_page(author, limit=9) == [post]
    feeds.retract(post, [owner], at + timedelta(milliseconds=1))
    feeds.remove_from_author(post, at + timedelta(milliseconds=1))
    assert home(feeds, owner) == feeds.author_page(author, limit=9) == []


def test_home_ends_at_the_retention_and_the_author_timeline_does_not(opener: Opener, feeds: FeedStore) -> None:
    owner, author, moment = uuid4(), uuid4(), now().replace(microsecond=0)
    edge = moment - 10 * DAY
    reader = opener(retention=10 * DAY, clock=lambda: moment)
    later = opener(retention=10 * DAY, clock=lambda: moment + timedelta(milliseconds=1))
    beyond, last, kept = (PostRef(post_id(edge + timedelta(milliseconds=n)), author) for n in (-1, 0, 1))
    # Connect before the writes, since entries at the edge live only two seconds in the engine.
    assert home(reader, owner) == home(later, owner) == []
    for post in (beyond, last, kept):
        reader.push(post, [owner], T0)
        reader.add_to_author(post, T0)
    assert home(reader, owner) == [kept, last]
    assert reader.home_page(owner, after=post_id(edge - DAY), limit=9) == [last, kept]
    assert home(later, owner) == [kept]
    assert beyond not in home(feeds, owner)
    assert feeds.author_page(author, limit=9) == [kept, last, beyond]


def test_entries_expire(opener: Opener, feeds: FeedStore) -> None:
    owner = uuid4()
    short = opener(retention=timedelta(seconds=1))
    short.push(PostRef(post_id(now()), uuid4()), [owner], T0)
    deadline = time.monotonic() + 30
    while home(short, owner):
        assert time.monotonic() < deadline


def test_trim_drops_entries_written_up_to_its_time(feeds: FeedStore) -> None:
    owner, neighbour = uuid4(), uuid4()
    posts = refs(30, since=300 * DAY)
    for reader in (owner, neighbour):
        feeds.fill(reader, posts[:10], T0 - DAY)
        feeds.fill(reader, posts[10:20], T0)
        feeds.fill(reader, posts[20:], T0 + TICK)
    feeds.trim(owner, T0)
    feeds.trim(owner, T0 - DAY)
    assert home(feeds, owner) == newest_first(posts[20:])
    assert home(feeds, neighbour) == newest_first(posts)
    feeds.trim(owner, T0 + TICK)
    assert home(feeds, owner) == []


@pytest.mark.parametrize(("later", "there"), [(-DAY, False), (-TICK, False), (0 * TICK, False), (TICK, True)])
def test_trim_keeps_out_later_writes_of_earlier_times(feeds: FeedStore, later: timedelta, *, there: bool) -> None:
    """The posts are in buckets with and without markers; one is dated a day ahead."""
    owner = uuid4()
    posts = [*refs(10, since=500 * DAY), PostRef(post_id(now() + DAY), uuid4())]
    feeds.fill(owner, posts[:1], T0 - DAY)
    feeds.trim(owner, T0)
    feeds.fill(owner, posts[:5], T0 + later)
    for post in posts[5:]:
        feeds.push(post, [owner], T0 + later)
    expected = newest_first(posts) if there else []
    assert home(feeds, owner) == expected
    assert list(feeds.entries(owner)) == expected


def test_trim_does_not_undo_a_later_removal(feeds: FeedStore) -> None:
    owner, (gone, kept) = uuid4(), refs(2)
    feeds.fill(owner, [gone, kept], T0)
    feeds.retract(gone, [owner], T0 + 3 * DAY)
    feeds.trim(owner, T0 + DAY)
    feeds.fill(owner, [gone, kept], T0 + 2 * DAY)
    assert home(feeds, owner) == [kept]
    feeds.fill(owner, [gone], T0 + 4 * DAY)
    assert home(feeds, owner) == newest_first([gone, kept])


def test_load_does_not_fill_a_trimmed_timeline(feeds: FeedStore) -> None:
    owner, posts = uuid4(), refs(3)
    feeds.trim(owner, now())
    feeds.load([], [(owner, post) for post in posts])
    assert home(feeds, owner) == []


def burst(count: int, *, author: UUID | None = None) -> list[PostRef]:
    """Posts within one bucket, oldest first."""
    start = int(now().timestamp() * 1000) // (10 * DAY_MS) * 10 * DAY_MS
    return [PostRef(post_id(start + n), author or uuid4()) for n in range(count)]


def test_retract_stops_at_the_budget_of_a_bucket(feeds: FeedStore) -> None:
    owner, neighbour, posts = uuid4(), uuid4(), burst(MAX_TOMBSTONES + 20)
    feeds.fill(owner, posts, T0)
    kept = [feeds.retract(post, [owner, neighbour], T0) for post in posts]
    assert kept == [set()] * MAX_TOMBSTONES + [{owner, neighbour}] * 20
    assert home(feeds, owner) == newest_first(posts[MAX_TOMBSTONES:])
    old = PostRef(post_id(now() - 30 * DAY), uuid4())
    for reader in (owner, neighbour):
        feeds.push(old, [reader], T0)
    assert feeds.retract(old, [owner], T0) == set()
    assert home(feeds, owner) == newest_first(posts[MAX_TOMBSTONES:])
    assert home(feeds, neighbour) == [old]


def test_purge_removes_what_the_budget_allows_and_reports_it(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    posts, others = burst(MAX_TOMBSTONES, author=author), burst(5)
    old = [PostRef(post_id(now() - 30 * DAY + TICK * 1000 * n), author) for n in range(3)]
    feeds.fill(owner, [*posts, *others, *old], T0)
    feeds.retract(others[0], [owner], T0)
    assert not feeds.purge(owner, author, T0)
    assert home(feeds, owner) == newest_first([posts[0], *others[1:]])
    assert not feeds.purge(owner, author, T0)
    assert feeds.purge(owner, uuid4(), T0)
    assert not feeds.purge(owner, others[1].author_id, T0)
    assert len(home(feeds, owner)) == 5


def test_purge_of_exactly_the_budget(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    feeds.fill(owner, burst(MAX_TOMBSTONES, author=author), T0)
    assert feeds.purge(owner, author, T0)
    assert feeds.purge(owner, author, T0)
    assert home(feeds, owner) == []


def test_trim_gives_a_timeline_its_budget_back(feeds: FeedStore) -> None:
    owner, neighbour, author = uuid4(), uuid4(), uuid4()
    posts = burst(MAX_TOMBSTONES + 1, author=author)
    for reader in (owner, neighbour):
        feeds.fill(reader, posts, T0)
        assert not feeds.purge(reader, author, T0)
    feeds.trim(owner, T0)
    for reader in (owner, neighbour):
        feeds.fill(reader, posts[:9], T0 + TICK)
    assert feeds.purge(owner, author, T0 + TICK)
    assert not feeds.purge(neighbour, author, T0 + TICK)
    assert home(feeds, owner) == []


def test_the_budget_of_an_author_timeline(feeds: FeedStore) -> None:
    author = uuid4()
    posts = burst(MAX_TOMBSTONES + 5, author=author)
    feeds.load(posts, [])
    for post in posts:
        feeds.remove_from_author(post, now())
    assert feeds.author_page(author, limit=9) == newest_first(posts[MAX_TOMBSTONES:])


def test_each_client_has_a_budget_of_its_own(opener: Opener, feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    feeds.fill(owner, burst(MAX_TOMBSTONES + 5, author=author), T0)
    assert not feeds.purge(owner, author, T0)
    assert opener().purge(owner, author, T0)
    assert home(feeds, owner) == []


def test_entries_lists_the_whole_timeline(opener: Opener, feeds: FeedStore) -> None:
    owner, gone = uuid4(), uuid4()
    posts, doomed = refs(2500, since=900 * DAY), refs(100, author=gone)
    feeds.fill(owner, CHANCE.sample([*posts, *doomed], 2600), T0)
    feeds.purge(owner, gone, T0)
    assert list(feeds.entries(owner)) == newest_first(posts)
    assert list(itertools.islice(feeds.entries(owner), 3)) == newest_first(posts)[:3]
    recent = opener(retention=100 * DAY)
    edge = post_id(now() - 100 * DAY, 0)
    assert list(recent.entries(owner)) == [post for post in newest_first(posts) if post.post_id > edge]


def test_entries_of_a_large_timeline_come_in_batches(feeds: FeedStore) -> None:
    owner, posts = uuid4(), burst(12_000)
    feeds.fill(owner, posts, T0)
    entries = feeds.entries(owner)
    assert next(entries) == posts[-1]
    feeds.push(PostRef(post_id(now()), uuid4()), [owner], T0)
    assert list(entries) == posts[-2::-1]


def test_two_clients_see_each_others_writes(opener: Opener, feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    posts = refs(3, author=author, since=2 * DAY)
    feeds.push(posts[0], [owner], T0)
    feeds.add_to_author(posts[0], T0)
    other = opener()
    assert home(other, owner) == posts[:1]
    for post in posts[1:]:
        other.push(post, [owner], T0)
        other.add_to_author(post, T0)
    other.close()
    assert home(feeds, owner) == feeds.author_page(author, limit=9) == newest_first(posts)


def test_migrate_is_idempotent_and_a_dry_run_changes_nothing(opener: Opener) -> None:
    store = opener(store="migrated")
    planned = store.migrate(dry_run=True)
    with pytest.raises(Unavailable):
        store.home_page(uuid4(), limit=1)
    with pytest.raises(Unavailable):
        store.add_to_author(refs(1)[0], T0)
    assert planned
    assert store.migrate() == planned
    assert store.migrate() == []
    assert store.migrate(dry_run=True) == []
    assert opener(store="migrated").migrate() == []
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
