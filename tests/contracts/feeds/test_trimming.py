"""The contract of `FeedStore`: trimming home timelines, and their retention."""

import time
from datetime import timedelta
from uuid import uuid4

import pytest

from repositories.feeds.port import FeedStore
from repositories.feeds.retention import now
from repositories.records.content import PostRef
from tests.contracts.feeds.feed_stores import OpenFeeds
from tests.contracts.feeds.timelines import DAY, T0, TICK, home, newest_first, post_id, refs


def test_home_ends_at_the_retention_and_the_author_timeline_does_not(open_feeds: OpenFeeds, feeds: FeedStore) -> None:
    owner, author, moment = uuid4(), uuid4(), now().replace(microsecond=0)
    edge = moment - 10 * DAY
    reader = open_feeds(retention=10 * DAY, clock=lambda: moment)
    later = open_feeds(retention=10 * DAY, clock=lambda: moment + timedelta(milliseconds=1))
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


def test_entries_expire(open_feeds: OpenFeeds, feeds: FeedStore) -> None:
    owner = uuid4()
    short = open_feeds(retention=timedelta(seconds=1))
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
