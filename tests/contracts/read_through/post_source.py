"""A source of posts that records reads, and a cache that fails on command."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from repositories.errors import NotFound, Stale, Unavailable
from repositories.hot import Cache
from repositories.records.content import Post
from repositories.records.events import Event


@dataclass
class Source:
    """The source behind the cache. `asked` records the reads.

    `during_get` runs before a get returns, `after_write` before a replacement or deletion returns.
    """

    posts: dict[UUID, Post] = field(default_factory=dict)
    asked: list[list[UUID]] = field(default_factory=list)
    during_get: Callable[[], None] = lambda: None
    after_write: Callable[[], None] = lambda: None

    def get(self, ids: Collection[UUID]) -> dict[UUID, Post]:
        self.asked.append(list(ids))
        found = {post_id: self.posts[post_id] for post_id in ids if post_id in self.posts}
        self.during_get()
        return found

    def add(self, post: Post, event: Event) -> None:
        self.posts[post.id] = post

    def load(self, posts: Sequence[Post]) -> None:
        self.posts.update({post.id: post for post in posts})

    def replace(self, post: Post, event: Event, *, if_version: int) -> None:
        if self.posts[post.id].version != if_version:
            raise Stale
        self.posts[post.id] = post
        self.after_write()

    def delete(self, post_id: UUID, event: Event, *, if_version: int) -> None:
        if self.posts.pop(post_id, None) is None:
            raise NotFound
        self.after_write()


@dataclass
class FailingCache:
    """A cache whose methods in `down` raise `Unavailable`. `calls` records all calls."""

    inner: Cache
    down: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        self.calls.append(name)
        if name in self.down:
            raise Unavailable("cache")
        return getattr(self.inner, name)
