"""The contract of reading through the cache together with invalidation, on the embedded cache and on Redis."""

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
import pytest
from msgspec.structs import replace

from app.services.pages.first_pages import FirstPages
from app.services.pages.invalidation import Invalidation
from app.services.pages.kinds import Kind, Kinds, Used, schema_of
from app.services.pages.read_through import ReadThrough
from app.services.pages.write_through import WriteThrough
from repositories.errors import NotFound, Stale, Unavailable
from repositories.hot import Cache, Value, open_cache
from repositories.meter import tally
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


class Site:
    """Reads posts through the cache. Writes go to the source, and then drop the post from the cache."""

    def __init__(self, source: Source, cache: Cache) -> None:
        documents: Any = Sources(source)
        nothing: Any = None
        self.source = source
        self.through = ReadThrough(cache)
        self.kinds = Kinds(nothing, documents, nothing, fresh=60)
        lists = FirstPages(documents, nothing, self.through, fresh=60)
        self.invalidation = Invalidation(cache, nothing, self.kinds, lists, nothing)

    def get(self, ids: Collection[UUID]) -> dict[UUID, Post]:
        found = self.through.get(self.kinds.posts, ids)
        assert all(value.note == self.author(value).bytes for value in found.values())
        return {i: msgspec.json.decode(value.body or b"", type=Post) for i, value in found.items()}

    def author(self, value: Value) -> UUID:
        return msgspec.json.decode(value.body or b"", type=Post).author_id

    def key(self, post: Post) -> str:
        return f"post@{schema_of(Post)}:{post.id}"

    def add(self, post: Post, event: Event) -> None:
        with self.invalidation.after(self.invalidation.post(post.id, post.author_id, post.tags)):
            self.source.add(post, event)

    def replace(self, post: Post, event: Event, *, if_version: int) -> None:
        with self.invalidation.after(self.invalidation.edited_post(post.id, post.author_id, ())):
            self.source.replace(post, event, if_version=if_version)

    def delete(self, post_id: UUID, event: Event, *, if_version: int) -> None:
        with self.invalidation.after(self.invalidation.post(post_id, uuid4(), ())):
            self.source.delete(post_id, event, if_version=if_version)

    def drop(self, post_id: UUID) -> None:
        self.invalidation.drop(self.invalidation.edited_post(post_id, uuid4(), ()))


@dataclass
class Sources:
    posts: Source


def invalidation(cache: Cache) -> Invalidation:
    """An invalidation for keys that the test names."""
    unused: Any = None
    return Invalidation(cache, unused, unused, unused, unused)


def write_through(cache: Cache) -> WriteThrough:
    unused: Any = None
    return WriteThrough(cache, unused, invalidation(cache))


@pytest.fixture
def posts(source: Source, cache: Cache) -> Site:
    return Site(source, cache)


def made(source: Source, title: str = "title") -> Post:
    post = Post(uuid4(), uuid4(), title, "body \x00 \U0001f600", ("a", "\u0130"), (uuid4(),), NOW, NOW, 1)
    source.posts[post.id] = post
    return post


def event(post: Post) -> Event:
    return Event(uuid4(), "post_changed", f"post:{post.id}", NOW, b"{}")


def edited(post: Post) -> Post:
    return replace(post, title="edited", version=post.version + 1)


def broken(source: Source, cache: Cache, *down: str) -> tuple[Site, Broken]:
    wrapped = Broken(cache, set(down))
    return Site(source, cast("Cache", wrapped)), wrapped


def test_a_hit_does_not_ask_the_source(source: Source, posts: Site) -> None:
    first, second, third = made(source), made(source), made(source)
    assert posts.get([first.id, second.id]) == {first.id: first, second.id: second}
    assert posts.get({first.id, second.id}) == {first.id: first, second.id: second}
    assert posts.get([third.id, first.id, third.id]) == {first.id: first, third.id: third}
    assert source.asked == [[first.id, second.id], [third.id]]


def test_a_get_without_ids_asks_nothing(source: Source, posts: Site) -> None:
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


def test_absence_is_remembered_until_the_creation(source: Source, posts: Site) -> None:
    post, other = made(source), made(source)
    source.posts.clear()
    assert posts.get([post.id, other.id]) == posts.get([post.id, other.id]) == {}
    assert len(source.asked) == 1
    posts.add(post, event(post))
    posts.add(other, event(other))
    assert posts.get([post.id, other.id]) == {post.id: post, other.id: other}


def test_a_reader_that_was_slower_than_a_creation_stores_nothing(source: Source, posts: Site) -> None:
    post = made(source)
    source.posts.clear()
    source.during_get = lambda: posts.add(post, event(post))
    assert posts.get([post.id]) == {}
    source.during_get = lambda: None
    assert posts.get([post.id]) == {post.id: post}


def test_a_change_is_seen_by_the_next_get(source: Source, posts: Site) -> None:
    post = made(source)
    posts.get([post.id])
    posts.replace(edited(post), event(post), if_version=1)
    assert posts.get([post.id]) == {post.id: edited(post)}
    posts.delete(post.id, event(post), if_version=2)
    assert posts.get([post.id]) == {}


def test_a_reader_that_was_slower_than_a_writer_stores_nothing(source: Source, posts: Site) -> None:
    post = made(source)

    def write_meanwhile() -> None:
        source.during_get = lambda: None
        posts.replace(edited(post), event(post), if_version=1)

    source.during_get = write_meanwhile
    assert posts.get([post.id]) == {post.id: post}
    assert posts.get([post.id]) == {post.id: edited(post)}
    assert posts.get([post.id]) == {post.id: edited(post)}
    assert len(source.asked) == 2


def test_a_reader_that_was_slower_than_a_delete_stores_nothing(source: Source, posts: Site) -> None:
    post = made(source)
    source.during_get = lambda: posts.delete(post.id, event(post), if_version=1)
    posts.get([post.id])
    source.during_get = lambda: None
    assert posts.get([post.id]) == {}


@pytest.mark.parametrize("failure", [Unavailable("documents"), RuntimeError("bug"), KeyboardInterrupt()])
def test_a_change_of_unknown_outcome_drops_too(source: Source, posts: Site, failure: BaseException) -> None:
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


def test_errors_of_the_source_are_raised(source: Source, posts: Site) -> None:
    post = made(source)
    with pytest.raises(Stale):
        posts.replace(edited(post), event(post), if_version=7)
    with pytest.raises(NotFound):
        posts.delete(uuid4(), event(post), if_version=1)
    assert posts.get([post.id]) == {post.id: post}


def test_drop_drops(source: Source, posts: Site) -> None:
    post = made(source)
    posts.get([post.id])
    source.posts[post.id] = edited(post)
    assert posts.get([post.id]) == {post.id: post}
    posts.drop(post.id)
    posts.drop(post.id)
    assert posts.get([post.id]) == {post.id: edited(post)}


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


def test_a_record_of_another_shape_has_another_schema() -> None:
    class Before(msgspec.Struct):
        id: str

    assert schema_of(Before) != schema_of(Post)
    assert len(schema_of(Post)) == 8
    assert schema_of(Post) == schema_of(Post)


class Parts:
    """Three kinds of parts, some of which exist. `asked` records the loads."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, set[str]]] = []
        self.post, self.author, self.stats = (
            Kind(name, "1", self._loader(name), fresh=60.0) for name in ("post", "author", "stats")
        )

    def _loader(self, name: str) -> Callable[[Collection[str]], dict[str, Value]]:
        def load(ids: Collection[str]) -> dict[str, Value]:
            self.asked.append((name, set(ids)))
            return {i: Value(f"{name} {i}".encode(), version=len(i), etag=f'"{i}"') for i in ids if "gone" not in i}

        return load


def test_a_multi_get_over_several_kinds_is_one_multi_get_and_one_load_each(cache: Cache) -> None:
    parts, unique = Parts(), uuid4().hex
    counted = Broken(cache)
    through = ReadThrough(cast("Cache", counted))
    ids = [f"{unique}:{n}" for n in range(20)]
    wanted = {parts.post: [*ids, f"{unique}:gone"], parts.author: ids[:3], parts.stats: ids}
    found = through.multi_get(wanted)
    assert counted.calls == ["read", "lease", "fill", "drop"]
    assert [name for name, _ in parts.asked] == ["post", "author", "stats"]
    assert {kind.name: len(values) for kind, values in found.items()} == {"post": 20, "author": 3, "stats": 20}
    value = found[parts.author][ids[1]]
    assert (value.body, value.version, value.etag) == (f"author {ids[1]}".encode(), len(ids[1]), f'"{ids[1]}"')
    del wanted[parts.post][-1]
    assert through.multi_get(wanted) == found
    assert counted.calls[4:] == ["read"]
    cache.drop([*map(parts.post.key, ids[:2]), parts.stats.key(ids[0])])
    assert through.multi_get(wanted).keys() == found.keys()
    assert parts.asked[3:] == [("post", set(ids[:2])), ("stats", set(ids[:1]))]
    assert counted.calls[5:] == ["read", "lease", "fill"]


def test_a_multi_get_reports_the_stamps_of_its_values(cache: Cache) -> None:
    parts, unique = Parts(), uuid4().hex
    through = ReadThrough(cache)
    wanted = {parts.post: [unique, f"{unique}-2"], parts.stats: [unique]}
    loaded, read = Used(), Used()
    through.multi_get(wanted, loaded)
    through.multi_get(wanted, read)
    keys = [kind.key(about) for kind, ids in wanted.items() for about in ids]
    assert (
        loaded.stamps
        == read.stamps
        == {key: held.stamp for key, held in zip(keys, cache.read(keys), strict=True) if held}
    )
    assert 50 < read.left <= 66
    assert loaded.left == 60
    cache.drop([parts.stats.key(unique)])
    through.multi_get(wanted, read)
    assert read.stamps is None


def test_values_that_are_not_stored_have_no_stamps(cache: Cache) -> None:
    parts, unique = Parts(), uuid4().hex
    refused, away, absent = Used(), Used(), Used()
    wrapped = Broken(cache, {"fill"})
    ReadThrough(cast("Cache", wrapped)).multi_get({parts.post: [unique]}, refused)
    wrapped.down = {"read"}
    ReadThrough(cast("Cache", wrapped)).multi_get({parts.post: [f"{unique}-2"]}, away)
    ReadThrough(cache).multi_get({parts.post: [f"{unique}-gone"]}, absent)
    assert [used.stamps for used in (refused, away, absent)] == [None, None, None]
    assert Used().stamps == {}


def test_an_empty_multi_get_or_drop_does_nothing(cache: Cache) -> None:
    parts = Parts()
    assert ReadThrough(cache).multi_get({}) == {}
    assert ReadThrough(cache).multi_get({parts.post: []}) == {parts.post: {}}
    counted = Broken(cache)
    invalidation(cast("Cache", counted)).drop([])
    assert counted.calls == []


def test_write_through_keeps_the_new_value(cache: Cache) -> None:
    parts, key = Parts(), uuid4().hex
    through, writer = ReadThrough(cache), write_through(cache)
    for n in range(3):
        new = Value(b"written", version=n)
        assert writer.store(parts.post, key, lambda new=new: new) == new  # type: ignore[misc]
        assert through.get(parts.post, [key]) == {key: new}
    assert parts.asked == []


def test_write_through_beside_another_change_or_in_doubt_keeps_nothing(cache: Cache) -> None:
    parts, key = Parts(), uuid4().hex
    through, writer = ReadThrough(cache), write_through(cache)

    def beaten() -> Value:
        cache.drop([parts.post.key(key)])
        return Value(b"mine")

    def doubtful() -> Value:
        raise Unavailable("documents")

    writer.store(parts.post, key, beaten)
    assert through.get(parts.post, [key])[key].body == f"post {key}".encode()
    with pytest.raises(Unavailable):
        writer.store(parts.post, key, doubtful)
    through.get(parts.post, [key])
    assert len(parts.asked) == 2


def test_write_through_drops_other_stale_keys_in_one_round_trip(cache: Cache) -> None:
    parts, key = Parts(), uuid4().hex
    counted = Broken(cache)
    through, writer = ReadThrough(cache), write_through(cast("Cache", counted))
    through.get(parts.stats, [key])
    writer.store(parts.post, key, lambda: Value(b"new"), [parts.stats.key(key)])
    assert counted.calls == ["read", "lease", "fill", "outwait", "drop"]
    assert cache.read([parts.stats.key(key)]) == [None]
    assert through.get(parts.post, [key])[key].body == b"new"
    counted.calls.clear()
    counted.down = {"fill"}
    writer.store(parts.post, key, lambda: Value(b"newer"), [parts.stats.key(key)])
    assert counted.calls == ["read", "lease", "fill", "drop"]
    assert cache.read([parts.post.key(key)]) == [None]


@pytest.mark.parametrize("down", ["read", "lease", "fill"])
def test_write_through_without_a_cache_drops(cache: Cache, down: str) -> None:
    parts, key = Parts(), uuid4().hex
    wrapped = Broken(cache)
    through, writer = ReadThrough(cast("Cache", wrapped)), write_through(cast("Cache", wrapped))
    through.get(parts.post, [key])
    wrapped.down.add(down)
    writer.store(parts.post, key, lambda: Value(b"new"))
    wrapped.down.clear()
    through.get(parts.post, [key])
    assert len(parts.asked) == 2


@pytest.mark.breaking
@pytest.mark.engines
def test_a_frozen_cache_costs_a_get_its_deadline_once(request: pytest.FixtureRequest, source: Source) -> None:
    server = request.getfixturevalue("own_engines").cache()
    cache = open_cache(server.url, timeout=timedelta(seconds=0.3), pool=2)
    posts, post = Site(source, cache), made(source)
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
