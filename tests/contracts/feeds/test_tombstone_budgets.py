"""The contract of `FeedStore`: the budget of removals from one bucket."""

from uuid import uuid4

from repositories.feeds.port import MAX_TOMBSTONES, FeedStore
from repositories.feeds.retention import now
from repositories.records.content import PostRef
from tests.contracts.feeds.feed_stores import OpenFeeds
from tests.contracts.feeds.timelines import DAY, T0, TICK, burst, home, newest_first, post_id


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


def test_each_client_has_a_budget_of_its_own(open_feeds: OpenFeeds, feeds: FeedStore) -> None:
    owner, author = uuid4(), uuid4()
    feeds.fill(owner, burst(MAX_TOMBSTONES + 5, author=author), T0)
    assert not feeds.purge(owner, author, T0)
    assert open_feeds().purge(owner, author, T0)
    assert home(feeds, owner) == []
