"""The contract of reading through the cache together with invalidation."""

from uuid import uuid4

import msgspec
import pytest

from app.services.pages.kinds import schema_of
from repositories.errors import NotFound, Stale, Unavailable
from repositories.hot import Cache
from repositories.records.content import Post
from tests.contracts.read_through.cached_posts import CachedPosts, broken, edited, event, made
from tests.contracts.read_through.post_source import Source


def test_a_hit_does_not_ask_the_source(source: Source, posts: CachedPosts) -> None:
    first, second, third = made(source), made(source), made(source)
    assert posts.get([first.id, second.id]) == {first.id: first, second.id: second}
    assert posts.get({first.id, second.id}) == {first.id: first, second.id: second}
    assert posts.get([third.id, first.id, third.id]) == {first.id: first, third.id: third}
    assert source.asked == [[first.id, second.id], [third.id]]


def test_a_get_without_ids_asks_nothing(source: Source, posts: CachedPosts) -> None:
    assert posts.get([]) == {}
    assert source.asked == []


def test_a_get_is_one_cache_read_and_for_misses_a_lease_one_source_read_and_one_fill(
    source: Source, cache: Cache
) -> None:
    ids = [made(source).id for _ in range(20)]
    posts, counted = broken(source, cache)
    posts.get(ids)
    assert (counted.calls, len(source.asked)) == (["read", "lease", "fill"], 1)
    posts.get(ids)
    assert (counted.calls, len(source.asked)) == (["read", "lease", "fill", "read"], 1)


def test_absence_is_remembered_until_the_creation(source: Source, posts: CachedPosts) -> None:
    post, other = made(source), made(source)
    source.posts.clear()
    assert posts.get([post.id, other.id]) == posts.get([post.id, other.id]) == {}
    assert len(source.asked) == 1
    posts.add(post, event(post))
    posts.add(other, event(other))
    assert posts.get([post.id, other.id]) == {post.id: post, other.id: other}


def test_a_reader_that_was_slower_than_a_creation_stores_nothing(source: Source, posts: CachedPosts) -> None:
    post = made(source)
    source.posts.clear()
    source.during_get = lambda: posts.add(post, event(post))
    assert posts.get([post.id]) == {}
    source.during_get = lambda: None
    assert posts.get([post.id]) == {post.id: post}


def test_a_change_is_seen_by_the_next_get(source: Source, posts: CachedPosts) -> None:
    post = made(source)
    posts.get([post.id])
    posts.replace(edited(post), event(post), if_version=1)
    assert posts.get([post.id]) == {post.id: edited(post)}
    posts.delete(post.id, event(post), if_version=2)
    assert posts.get([post.id]) == {}


def test_a_reader_that_was_slower_than_a_writer_stores_nothing(source: Source, posts: CachedPosts) -> None:
    post = made(source)

    def write_meanwhile() -> None:
        source.during_get = lambda: None
        posts.replace(edited(post), event(post), if_version=1)

    source.during_get = write_meanwhile
    assert posts.get([post.id]) == {post.id: post}
    assert posts.get([post.id]) == {post.id: edited(post)}
    assert posts.get([post.id]) == {post.id: edited(post)}
    assert len(source.asked) == 2


def test_a_reader_that_was_slower_than_a_delete_stores_nothing(source: Source, posts: CachedPosts) -> None:
    post = made(source)
    source.during_get = lambda: posts.delete(post.id, event(post), if_version=1)
    posts.get([post.id])
    source.during_get = lambda: None
    assert posts.get([post.id]) == {}


@pytest.mark.parametrize("failure", [Unavailable("documents"), RuntimeError("bug"), KeyboardInterrupt()])
def test_a_change_of_unknown_outcome_drops_too(source: Source, posts: CachedPosts, failure: BaseException) -> None:
    post, other = made(source), made(source)
    posts.get([post.id, other.id])

    def fail() -> None:
        raise failure

    source.after_write = fail
    with pytest.raises(type(failure)):
        posts.replace(edited(post), event(post), if_version=1)
    with pytest.raises(type(failure)):
        posts.delete(other.id, event(other), if_version=1)
    assert posts.get([post.id, other.id]) == {post.id: edited(post)}


def test_errors_of_the_source_are_raised(source: Source, posts: CachedPosts) -> None:
    post = made(source)
    with pytest.raises(Stale):
        posts.replace(edited(post), event(post), if_version=7)
    with pytest.raises(NotFound):
        posts.delete(uuid4(), event(post), if_version=1)
    assert posts.get([post.id]) == {post.id: post}


def test_drop_drops(source: Source, posts: CachedPosts) -> None:
    post = made(source)
    posts.get([post.id])
    source.posts[post.id] = edited(post)
    assert posts.get([post.id]) == {post.id: post}
    posts.drop(post.id)
    posts.drop(post.id)
    assert posts.get([post.id]) == {post.id: edited(post)}


def test_a_record_of_another_shape_has_another_schema() -> None:
    class Before(msgspec.Struct):
        id: str

    assert schema_of(Before) != schema_of(Post)
    assert len(schema_of(Post)) == 8
    assert schema_of(Post) == schema_of(Post)
