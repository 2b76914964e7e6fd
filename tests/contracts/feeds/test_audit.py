"""The contract of `FeedAudit`, which `quartet doctor drift` uses, for every adapter of feeds."""

from datetime import timedelta
from uuid import UUID, uuid4

from repositories.feeds.audit_port import StoredEntry
from repositories.feeds.port import FeedStore
from repositories.feeds.retention import now
from repositories.records.content import PostRef
from tests.contracts.feeds.feed_stores import OpenFeeds
from tests.contracts.feeds.timelines import newest_first, refs

DAY = timedelta(days=1)


def home(feeds: FeedStore, owner: UUID) -> list[StoredEntry]:
    return list(feeds.audit.home(owner))


def shown(kept: list[StoredEntry]) -> list[PostRef]:
    return [PostRef(k.post_id, k.author_id) for k in kept if k.author_id is not None]


def test_entries_are_listed_newest_first_and_in_place(feeds: FeedStore) -> None:
    owner, posts = uuid4(), refs(30, since=50 * DAY)
    feeds.fill(owner, posts, now())
    found = home(feeds, owner)
    assert shown(found) == newest_first(posts)
    assert all(k.in_place and k.owner == owner and k.written_us for k in found)
    author = uuid4()
    feeds.load([PostRef(p.post_id, author) for p in posts], ())
    authored = list(feeds.audit.author(author))
    assert shown(authored) == [PostRef(p.post_id, author) for p in newest_first(posts)]
    assert all(k.in_place for k in authored)


def test_a_restored_entry_beats_its_removal(feeds: FeedStore) -> None:
    owner, (post,) = uuid4(), refs(1)
    feeds.push(post, [owner], now())
    feeds.retract(post, [owner], now())
    assert home(feeds, owner) == []
    feeds.audit.restore_home(owner, [post], now())
    assert feeds.home_page(owner, limit=9) == [post] == shown(home(feeds, owner))


def test_restoring_overwrites_another_author(feeds: FeedStore) -> None:
    owner, (post,) = uuid4(), refs(1)
    feeds.push(PostRef(post.post_id, uuid4()), [owner], now())
    feeds.audit.restore_home(owner, [post], now())
    assert feeds.home_page(owner, limit=9) == [post]


def test_restoring_leaves_an_entry_that_was_written_later(feeds: FeedStore) -> None:
    owner, (post,), at = uuid4(), refs(1), now()
    feeds.push(post, [owner], at)
    feeds.audit.restore_home(owner, [PostRef(post.post_id, uuid4())], at - timedelta(seconds=1))
    assert feeds.home_page(owner, limit=9) == [post]


def test_a_removed_entry_stays_away_from_older_writes_only(feeds: FeedStore) -> None:
    owner, (post,), at = uuid4(), refs(1), now()
    feeds.push(post, [owner], at)
    feeds.audit.remove_home(home(feeds, owner), at - DAY)
    feeds.push(post, [owner], at)
    assert home(feeds, owner) == []
    feeds.push(post, [owner], at + timedelta(microseconds=1))
    assert shown(home(feeds, owner)) == [post]


def test_author_timelines_are_restored(feeds: FeedStore) -> None:
    author = uuid4()
    first, second = (PostRef(post.post_id, author) for post in refs(2))
    feeds.add_to_author(first, now())
    feeds.audit.remove_author(list(feeds.audit.author(author)), now())
    assert feeds.author_page(author, limit=9) == []
    feeds.audit.restore_author([first, second], now())
    assert feeds.author_page(author, limit=9) == [second, first]


def test_entries_past_the_retention_are_not_restored(open_feeds: OpenFeeds) -> None:
    feeds = open_feeds(store="forgetful", retention=10 * DAY)
    feeds.migrate()
    owner, posts = uuid4(), refs(10, since=20 * DAY)
    feeds.audit.restore_home(owner, posts, now())
    assert shown(home(feeds, owner)) == newest_first(posts[6:])
