"""The contract of `FeedStore`: writing timelines, and their order."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from repositories.errors import Invalid
from repositories.feeds.port import FeedStore
from repositories.feeds.retention import now
from repositories.records.content import PostRef
from tests.contracts.feeds.feed_stores import OpenFeeds
from tests.contracts.feeds.timelines import (
    CHANCE,
    DAY,
    T0,
    burst,
    home,
    newest_first,
    post_id,
    refs,
    walk_down,
    walk_up,
)


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


def test_ids_from_a_clock_that_runs_ahead(feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    ahead = [PostRef(post_id(now() + DAY * days), author) for days in (0, 1, 200, 3000)]
    feeds.fill(owner, ahead, T0)
    feeds.load(ahead, [])
    for page, key in ((feeds.home_page, owner), (feeds.author_page, author)):
        assert page(key, limit=1) == ahead[-1:]
        assert page(key, limit=9) == ahead[::-1]
        assert page(key, after=ahead[0].post_id, limit=9) == ahead[1:]


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


def test_entries_lists_the_whole_timeline(open_feeds: OpenFeeds, feeds: FeedStore) -> None:
    owner, gone = uuid4(), uuid4()
    posts, doomed = refs(2500, since=900 * DAY), refs(100, author=gone)
    feeds.fill(owner, CHANCE.sample([*posts, *doomed], 2600), T0)
    feeds.purge(owner, gone, T0)
    assert list(feeds.entries(owner)) == newest_first(posts)
    assert list(itertools.islice(feeds.entries(owner), 3)) == newest_first(posts)[:3]
    recent = open_feeds(retention=100 * DAY)
    edge = post_id(now() - 100 * DAY, 0)
    assert list(recent.entries(owner)) == [post for post in newest_first(posts) if post.post_id > edge]


def test_entries_of_a_large_timeline_come_in_batches(feeds: FeedStore) -> None:
    owner, posts = uuid4(), burst(12_000)
    feeds.fill(owner, posts, T0)
    entries = feeds.entries(owner)
    assert next(entries) == posts[-1]
    feeds.push(PostRef(post_id(now()), uuid4()), [owner], T0)
    assert list(entries) == posts[-2::-1]
