"""The contract of `FeedStore`: pages of timelines."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from repositories.feeds.port import FeedStore
from repositories.feeds.retention import now
from repositories.records.content import PostRef
from tests.contracts.feeds.feed_stores import RETENTION
from tests.contracts.feeds.timelines import DAY, T0, newest_first, post_id, refs, walk_down, walk_up


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
