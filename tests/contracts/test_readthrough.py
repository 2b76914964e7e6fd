"""What the cache around posts adds to their port; `test_documents` holds the rest of the promises."""

import logging
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import uuid4

import msgspec
import pytest
from msgspec.structs import replace

from repositories.documents.port import Documents, Posts
from repositories.errors import NotFound, Stale, Unavailable
from repositories.hot import Cache, Slot, open_cache
from repositories.readthrough import CachedPosts, with_cache
from repositories.records import Event, Post
from tests.contracts.post_source import Broken, Source

NOW = datetime(2031, 5, 17, 9, 30, 15, 123457, tzinfo=UTC)
TIMEOUT = timedelta(seconds=5)


@pytest.fixture(scope="module", params=["embedded", pytest.param("redis", marks=pytest.mark.engines)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "redis":
        return str(request.getfixturevalue("engines").cache().url)
    return f"sqlite:///{tmp_path_factory.mktemp('cache') / 'hot.db'}"


@pytest.fixture
def cache(url: str) -> Iterator[Cache]:
    store = open_cache(url, timeout=TIMEOUT, pool=4)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def posts(source: Source, cache: Cache) -> CachedPosts:
    return CachedPosts(cast("Posts", source), cache, 60)


def made(source: Source, title: str = "title") -> Post:
    post = Post(uuid4(), uuid4(), title, "body \x00 \U0001f600", ("a", "\u0130"), (uuid4(),), NOW, NOW, 1)
    source.posts[post.id] = post
    return post


def event(post: Post) -> Event:
    return Event(uuid4(), "post_changed", f"post:{post.id}", NOW, b"{}")


def edited(post: Post) -> Post:
    return replace(post, title="edited", version=post.version + 1)


def broken(source: Source, cache: Cache, *down: str) -> tuple[CachedPosts, Broken]:
    wrapped = Broken(cache, set(down))
    return CachedPosts(cast("Posts", source), cast("Cache", wrapped), 60), wrapped


def test_a_hit_does_not_ask_the_source(source: Source, posts: CachedPosts) -> None:
    first, second, third = made(source), made(source), made(source)
    assert posts.get([first.id, second.id]) == {first.id: first, second.id: second}
    assert posts.get({first.id, second.id}) == {first.id: first, second.id: second}
    assert posts.get([third.id, first.id, third.id]) == {first.id: first, third.id: third}
    assert source.asked == [[first.id, second.id], [third.id]]


def test_nothing_is_asked_for_nothing(source: Source, posts: CachedPosts) -> None:
    assert posts.get([]) == {}
    assert source.asked == []


def test_a_get_is_one_cache_read_one_source_read_and_one_fill(source: Source, cache: Cache) -> None:
    ids = [made(source).id for _ in range(20)]
    posts, counted = broken(source, cache)
    posts.get(ids)
    assert (counted.calls, len(source.asked)) == (["read", "fill"], 1)
    posts.get(ids)
    assert (counted.calls, len(source.asked)) == (["read", "fill", "read"], 1)


def test_what_does_not_exist_is_not_remembered(source: Source, posts: CachedPosts) -> None:
    post = made(source)
    del source.posts[post.id]
    assert posts.get([post.id]) == {}
    posts.add(post, event(post))
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


def test_what_the_source_refuses_comes_out(source: Source, posts: CachedPosts) -> None:
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


def test_a_dead_cache_is_a_miss_and_is_asked_once(source: Source, cache: Cache) -> None:
    post = made(source)
    posts, dead = broken(source, cache, "read", "fill", "drop")
    for _ in range(2):
        assert posts.get([post.id, uuid4()]) == {post.id: post}
    assert dead.calls == ["read", "read"]
    assert len(source.asked) == 2


def test_a_fill_that_fails_is_nobodys_business(source: Source, cache: Cache) -> None:
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
        assert f"post:{post.id}" in record.getMessage()
    with pytest.raises(Unavailable):
        posts.drop(first.id)
    dead.down.clear()
    posts.drop(first.id)
    posts.drop(second.id)
    assert posts.get([first.id, second.id]) == {first.id: edited(first)}


@pytest.mark.parametrize("old", [b"", b"\xc1", b"not msgpack", msgspec.msgpack.encode({"id": 1})])
def test_a_value_of_another_schema_is_a_miss_and_is_replaced(
    source: Source, posts: CachedPosts, cache: Cache, old: bytes
) -> None:
    post = made(source)
    key = f"post:{post.id}"
    cache.fill({key: (cache.read([key])[0].permit or "", old)}, seconds=60)
    assert posts.get([post.id]) == {post.id: post}
    assert posts.get([post.id]) == {post.id: post}
    assert posts.get([post.id]) == {post.id: post}
    assert len(source.asked) == 2


def test_a_miss_without_a_permit_is_not_filled(source: Source) -> None:
    class Full:
        def read(self, keys: Collection[str]) -> list[Slot]:
            return [Slot(None, None) for _ in keys]

    post = made(source)
    posts = CachedPosts(cast("Posts", source), cast("Cache", Full()), 60)
    assert posts.get([post.id]) == {post.id: post}


def test_the_rest_of_the_documents_is_left_as_it_is(source: Source, cache: Cache) -> None:
    @dataclass
    class Store:
        posts: Posts
        comments: object = None
        products: object = None
        outbox: object = None
        called: list[str] = field(default_factory=list)

        def migrate(self, *, dry_run: bool = False) -> list[str]:
            return ["dry"] if dry_run else ["run"]

        def ping(self) -> None:
            self.called.append("ping")

        def close(self) -> None:
            self.called.append("close")

    store = Store(cast("Posts", source), object(), object(), object())
    documents = with_cache(cast("Documents", store), cache, 60)
    assert documents.comments is store.comments
    assert documents.products is store.products
    assert documents.outbox is store.outbox
    assert (documents.migrate(), documents.migrate(dry_run=True)) == (["run"], ["dry"])
    documents.ping()
    documents.close()
    assert store.called == ["ping", "close"]
    cache.ping()
    post = made(source)
    assert documents.posts.get([post.id]) == documents.posts.get([post.id]) == {post.id: post}
    assert len(source.asked) == 1


@pytest.mark.engines
def test_a_frozen_cache_costs_a_get_its_deadline_once(request: pytest.FixtureRequest, source: Source) -> None:
    server = request.getfixturevalue("engines").cache()
    cache = open_cache(server.url, timeout=timedelta(seconds=0.3), pool=2)
    posts, post = CachedPosts(cast("Posts", source), cache, 60), made(source)
    posts.get([post.id])
    server.pause()
    try:
        for _ in range(2):
            start = time.monotonic()
            assert posts.get([post.id]) == {post.id: post}
            assert time.monotonic() - start < 0.4
    finally:
        server.resume()
    assert len(source.asked) == 3
    posts.get([post.id])
    posts.get([post.id])
    assert len(source.asked) in {3, 4}
    cache.close()
