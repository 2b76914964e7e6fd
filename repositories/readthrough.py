"""Read-through caching: what a source knows by id, kept encoded in the cache.

`ReadThrough` is the mechanism, cache-aside behind one `get`; `CachedPosts` is a `Posts` adapter around another
one. The cache is never the truth: where it does not answer, reads go to the source.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from repositories.documents.port import Comments, Documents, Posts, Products
from repositories.errors import Unavailable
from repositories.hot.port import Cache, Slot
from repositories.outbox import Outbox
from repositories.records import Event, Post, PostRef, TagCount

log = logging.getLogger(__name__)
T = TypeVar("T")


class ReadThrough(Generic[T]):
    """`load` gives what the source has of some ids, in one round trip; ids it leaves out are not cached."""

    def __init__(
        self, cache: Cache, prefix: str, kind: type[T], load: Callable[[Collection[UUID]], dict[UUID, T]], seconds: int
    ) -> None:
        self._cache = cache
        self._prefix = prefix
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._load = load
        self._seconds = seconds

    def get(self, ids: Collection[UUID]) -> dict[UUID, T]:
        """One cache read for all, one load and one fill for the misses."""
        slots = self._read(list(dict.fromkeys(ids)))
        found = {i: value for i, slot in slots.items() if (value := self._decoded(slot)) is not None}
        missing = {i: slot for i, slot in slots.items() if i not in found}
        return found | self._from_source(missing) if missing else found

    def drop(self, ids: Collection[UUID]) -> None:
        """From its return on no reader gets an older value. Raises `Unavailable`."""
        self._cache.drop([self._key(i) for i in ids])

    def forget(self, ids: Collection[UUID]) -> None:
        """`drop` after a write that is done and must not fail for the cache: the write's event drops once more."""
        try:
            self.drop(ids)
        except Unavailable as error:
            log.warning("%s stays cached until its event is told: %s", [self._key(i) for i in ids], error)

    def _read(self, ids: list[UUID]) -> dict[UUID, Slot]:
        if not ids:
            return {}
        try:
            return dict(zip(ids, self._cache.read([self._key(i) for i in ids]), strict=True))
        except Unavailable:
            return dict.fromkeys(ids, Slot(None, None))

    def _from_source(self, missing: dict[UUID, Slot]) -> dict[UUID, T]:
        """Values that could not be decoded are dropped, so that the next reader may fill them anew."""
        unreadable = [i for i, slot in missing.items() if slot.value is not None]
        if unreadable:
            self.forget(unreadable)
        loaded = self._load(list(missing))
        self._fill(missing, loaded)
        return loaded

    def _fill(self, slots: dict[UUID, Slot], loaded: dict[UUID, T]) -> None:
        values = {
            self._key(i): (permit, msgspec.msgpack.encode(value))
            for i, value in loaded.items()
            if (permit := slots[i].permit) is not None
        }
        if values:
            try:
                self._cache.fill(values, seconds=self._seconds)
            except Unavailable as error:
                log.warning("cache not filled: %s", error)

    def _decoded(self, slot: Slot) -> T | None:
        """A value that an older version wrote differently counts as a miss."""
        try:
            return self._decoder.decode(slot.value) if slot.value is not None else None
        except msgspec.DecodeError:
            return None

    def _key(self, about: UUID) -> str:
        return f"{self._prefix}:{about}"


class CachedPosts(Posts):
    """Pattern: decorator, cache-aside. `get` asks the cache first; all else goes to `inner`.

    The cache may be down or frozen: then `get` reads from the source, after the cache's deadline at most.
    A change drops the post from the cache, also when its outcome is unknown. A drop that fails is logged and
    no more, since the change is done; until the handler of its event calls `drop`, readers may get the old
    post.
    """

    def __init__(self, inner: Posts, cache: Cache, seconds: int) -> None:
        self._inner = inner
        self._through = ReadThrough(cache, "post", Post, inner.get, seconds)

    def get(self, ids: Collection[UUID]) -> dict[UUID, Post]:
        return self._through.get(ids)

    def replace(self, post: Post, event: Event, *, if_version: int) -> None:
        try:
            self._inner.replace(post, event, if_version=if_version)
        finally:
            self._through.forget([post.id])

    def delete(self, post_id: UUID, event: Event, *, if_version: int) -> None:
        try:
            self._inner.delete(post_id, event, if_version=if_version)
        finally:
            self._through.forget([post_id])

    def drop(self, post_id: UUID) -> None:
        """For the handlers of its events: from its return on nobody reads an older version. Raises `Unavailable`."""
        self._through.drop([post_id])

    def add(self, post: Post, event: Event) -> None:
        self._inner.add(post, event)

    def page(
        self, *, before: UUID | None, limit: int, author: UUID | None = None, tag: str | None = None
    ) -> list[Post]:
        return self._inner.page(before=before, limit=limit, author=author, tag=tag)

    def by_authors(
        self, authors: Collection[UUID], *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        return self._inner.by_authors(authors, before=before, after=after, limit=limit)

    def in_flight(
        self, authors: Collection[UUID], *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        return self._inner.in_flight(authors, before=before, after=after, limit=limit)

    def counts(self, authors: Collection[UUID]) -> dict[UUID, int]:
        return self._inner.counts(authors)

    def tags(self, *, after: str | None, limit: int) -> list[TagCount]:
        return self._inner.tags(after=after, limit=limit)

    def load(self, posts: Sequence[Post]) -> None:
        self._inner.load(posts)


class CachedDocuments(Documents):
    """Documents whose posts come out of the cache. The cache is the caller's: `close` leaves it open."""

    posts: CachedPosts
    comments: Comments
    products: Products
    outbox: Outbox

    def __init__(self, documents: Documents, posts: CachedPosts) -> None:
        self.posts = posts
        self.comments = documents.comments
        self.products = documents.products
        self.outbox = documents.outbox
        self._documents = documents

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return self._documents.migrate(dry_run=dry_run)

    def ping(self) -> None:
        self._documents.ping()

    def close(self) -> None:
        self._documents.close()


def with_cache(documents: Documents, cache: Cache, seconds: int) -> CachedDocuments:
    """These documents with each post kept in the cache for about `seconds`."""
    return CachedDocuments(documents, CachedPosts(documents.posts, cache, seconds))
