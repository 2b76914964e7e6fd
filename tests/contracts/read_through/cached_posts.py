"""Posts that are read and changed through a cache, for tests."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
from msgspec.structs import replace

from app.services.pages.first_pages import FirstPages
from app.services.pages.invalidation import Invalidation
from app.services.pages.kinds import Kinds, schema_of
from app.services.pages.read_through import ReadThrough
from repositories.hot import Cache, Value
from repositories.records.content import Post
from repositories.records.events import Event
from tests.contracts.read_through.post_source import FailingCache, Source

NOW = datetime(2031, 5, 17, 9, 30, 15, 123457, tzinfo=UTC)
TIMEOUT = timedelta(seconds=5)


class CachedPosts:
    """Reads posts through the cache. Writes go to the source, and then drop the post from the cache."""

    def __init__(self, source: Source, cache: Cache) -> None:
        documents: Any = SourceDocuments(source)
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
class SourceDocuments:
    posts: Source


def made(source: Source, title: str = "title") -> Post:
    post = Post(uuid4(), uuid4(), title, "body \x00 \U0001f600", ("a", "\u0130"), (uuid4(),), NOW, NOW, 1)
    source.posts[post.id] = post
    return post


def event(post: Post) -> Event:
    return Event(uuid4(), "post_changed", f"post:{post.id}", NOW, b"{}")


def edited(post: Post) -> Post:
    return replace(post, title="edited", version=post.version + 1)


def broken(source: Source, cache: Cache, *down: str) -> tuple[CachedPosts, FailingCache]:
    wrapped = FailingCache(cache, set(down))
    return CachedPosts(source, cast("Cache", wrapped)), wrapped
