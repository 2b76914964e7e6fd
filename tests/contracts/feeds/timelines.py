"""Posts for tests of timelines, and functions that read timelines."""

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from repositories.feeds.layout import DAY_MS
from repositories.feeds.port import FeedStore
from repositories.feeds.retention import now
from repositories.records.content import PostRef

DAY = timedelta(days=1)
T0 = datetime(2026, 1, 1, tzinfo=UTC)
CHANCE = random.Random(7)  # noqa: S311 - test data


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


TICK = timedelta(microseconds=1)


def burst(count: int, *, author: UUID | None = None) -> list[PostRef]:
    """Posts within one bucket, oldest first."""
    start = int(now().timestamp() * 1000) // (10 * DAY_MS) * 10 * DAY_MS
    return [PostRef(post_id(start + n), author or uuid4()) for n in range(count)]
