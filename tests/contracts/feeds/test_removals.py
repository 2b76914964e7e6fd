"""The contract of `FeedStore`: retracting posts and purging authors."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from repositories.feeds.port import FeedStore
from repositories.feeds.retention import now
from tests.contracts.feeds.timelines import DAY, T0, TICK, home, newest_first, post_id, refs


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
