"""The contract of reading through a cache that fails."""

import logging
from datetime import timedelta
from uuid import uuid4

import pytest

from repositories.errors import Unavailable
from repositories.hot import Cache, open_cache
from repositories.meter import tally
from tests.contracts.read_through.cached_posts import CachedPosts, broken, edited, event, made
from tests.contracts.read_through.post_source import Source


def test_a_dead_cache_is_a_miss_and_is_asked_once(source: Source, cache: Cache) -> None:
    post = made(source)
    posts, dead = broken(source, cache, "read", "lease", "fill", "drop")
    for _ in range(2):
        assert posts.get([post.id, uuid4()]) == {post.id: post}
    assert dead.calls == ["read", "read"]
    assert len(source.asked) == 2


def test_a_failed_fill_raises_nothing(source: Source, cache: Cache) -> None:
    post = made(source)
    posts, dead = broken(source, cache, "fill")
    assert posts.get([post.id]) == {post.id: post}
    dead.down.clear()
    assert posts.get([post.id]) == {post.id: post}
    assert posts.get([post.id]) == {post.id: post}
    assert len(source.asked) == 2


def test_a_drop_that_fails_does_not_undo_the_write_and_is_logged(
    source: Source, cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = made(source), made(source)
    posts, dead = broken(source, cache)
    posts.get([first.id, second.id])
    dead.down.add("drop")
    with caplog.at_level(logging.WARNING):
        posts.replace(edited(first), event(first), if_version=1)
        posts.delete(second.id, event(second), if_version=1)
    for record, post in zip(caplog.records, (first, second), strict=True):
        assert posts.key(post) in record.getMessage()
    with pytest.raises(Unavailable):
        posts.drop(first.id)
    dead.down.clear()
    posts.drop(first.id)
    posts.drop(second.id)
    assert posts.get([first.id, second.id]) == {first.id: edited(first)}


def test_a_failed_lease_costs_one_load(source: Source, cache: Cache) -> None:
    post = made(source)
    posts, dead = broken(source, cache, "lease")
    assert posts.get([post.id]) == {post.id: post}
    assert dead.calls == ["read", "lease"]
    assert len(source.asked) == 1


@pytest.mark.breaking
@pytest.mark.engines
def test_a_frozen_cache_costs_a_get_its_deadline_once(request: pytest.FixtureRequest, source: Source) -> None:
    server = request.getfixturevalue("own_engines").cache()
    cache = open_cache(server.url, timeout=timedelta(seconds=0.3), pool=2)
    posts, post = CachedPosts(source, cache), made(source)
    posts.get([post.id])
    server.pause()
    try:
        for _ in range(2):
            with tally() as asked:
                assert posts.get([post.id]) == {post.id: post}
            assert asked.trips() == {"cache": 1}
    finally:
        server.resume()
    assert len(source.asked) == 3
    posts.get([post.id])
    posts.get([post.id])
    assert len(source.asked) in {3, 4}
    cache.close()
