"""The contract of `ViewCounts`, the buffers of view counts, for every adapter."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from repositories.hot import ViewBatch, ViewCounts, open_views

TIMEOUT = timedelta(seconds=5)


@pytest.fixture
def views(cache_url: str) -> Iterator[ViewCounts]:
    store = open_views(cache_url, timeout=TIMEOUT, pool=8)
    store.migrate()
    flushed(store)
    yield store
    store.close()


def taken(views: ViewCounts, limit: int = 100) -> ViewBatch:
    batch = views.take(limit)
    assert batch
    return batch


def flushed(views: ViewCounts, limit: int = 100) -> Counter[UUID]:
    total: Counter[UUID] = Counter()
    while batch := views.take(limit):
        total.update(batch.counts)
        views.done(batch.number)
    return total


def test_views_are_handed_over_once(views: ViewCounts) -> None:
    one, two = uuid4(), uuid4()
    assert views.take(10) is None
    views.add({})
    views.add({one: 3, two: 1})
    views.add({one: 2})
    assert flushed(views) == {one: 5, two: 1}
    assert views.take(10) is None


def test_a_batch_is_handed_out_again_until_it_is_done(views: ViewCounts) -> None:
    post = uuid4()
    views.add({post: 1})
    batch = taken(views)
    views.add({post: 1, uuid4(): 1})
    assert taken(views) == batch
    views.done(batch.number - 1)
    assert taken(views, 1) == batch
    views.done(batch.number)
    views.done(batch.number)
    after = taken(views)
    assert after.number > batch.number
    assert after.counts[post] == 1
    assert len(after.counts) == 2
    views.done(batch.number)
    assert taken(views) == after


def test_a_batch_has_a_bound(views: ViewCounts) -> None:
    posts = [uuid4() for _ in range(25)]
    views.add(dict.fromkeys(posts, 1))
    assert len(taken(views, 10).counts) == 10
    assert flushed(views, 10) == dict.fromkeys(posts, 1)


def test_concurrent_calls_neither_lose_nor_repeat_views(views: ViewCounts) -> None:
    posts = [uuid4() for _ in range(5)]
    applied: dict[int, Counter[UUID]] = {}

    def view(_: int) -> None:
        for _ in range(20):
            views.add(dict.fromkeys(posts, 1))

    def flush(_: int) -> None:
        for _ in range(30):
            if batch := views.take(3):
                applied[batch.number] = Counter(batch.counts)
                views.done(batch.number)

    with ThreadPoolExecutor(6) as threads:
        jobs = [*(threads.submit(view, n) for n in range(4)), *(threads.submit(flush, n) for n in range(2))]
        for job in jobs:
            job.result()
    total = sum(applied.values(), flushed(views))
    assert total == dict.fromkeys(posts, 80)


def test_migrating_again_does_nothing(views: ViewCounts) -> None:
    assert views.migrate(dry_run=True) == []
    assert views.migrate() == []
    views.ping()
