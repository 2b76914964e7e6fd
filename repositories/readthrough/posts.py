"""Posts and products out of the cache."""

from collections.abc import Callable, Collection, Sequence
from uuid import UUID

import msgspec

from repositories.documents.port import CommentStore, Documents, PostStore
from repositories.documents.views_port import ViewStore
from repositories.outbox import Outbox
from repositories.readthrough.kinds import Kind
from repositories.readthrough.products import CachedProducts
from repositories.readthrough.records import Records
from repositories.readthrough.through import ReadThrough
from repositories.records import Event, Post, PostRef, Product, TagCount

ABSENT_SECONDS = 5.0


class CachedPosts(PostStore):
    """Pattern: decorator, cache-aside. `get` asks the cache first; all else goes to `inner`.

    The cache may be down or frozen: then `get` reads from the source, after the cache's deadline at most. A change
    drops the post from the cache, also when its outcome is unknown. A drop that fails is logged and no more, since
    the change is done; until the handler of its event calls `drop`, readers may get the old post.
    """

    def __init__(
        self,
        inner: PostStore,
        through: ReadThrough,
        fresh: float,
        encode: Callable[[Post], bytes] = msgspec.json.encode,
    ) -> None:
        self._inner = inner
        self._records: Records[UUID, Post] = Records(
            through,
            "post",
            Post,
            inner.get,
            fresh=fresh,
            absent=ABSENT_SECONDS,
            encode=encode,
            note=lambda post: post.author_id.bytes,
        )

    @property
    def kind(self) -> Kind[UUID]:
        """Posts as `encode` writes them; the note is the author's id."""
        return self._records.kind

    def get(self, ids: Collection[UUID]) -> dict[UUID, Post]:
        return self._records.get(ids)

    def add(self, post: Post, event: Event) -> None:
        try:
            self._inner.add(post, event)
        finally:
            self._records.forget([post.id])

    def replace(self, post: Post, event: Event, *, if_version: int) -> None:
        try:
            self._inner.replace(post, event, if_version=if_version)
        finally:
            self._records.forget([post.id])

    def delete(self, post_id: UUID, event: Event, *, if_version: int) -> None:
        try:
            self._inner.delete(post_id, event, if_version=if_version)
        finally:
            self._records.forget([post_id])

    def load(self, posts: Sequence[Post]) -> None:
        try:
            self._inner.load(posts)
        finally:
            self._records.forget([post.id for post in posts])

    def drop(self, post_id: UUID) -> None:
        """For the handlers of its events: from its return on nobody reads an older version. Raises `Unavailable`."""
        self._records.drop([post_id])

    def page(
        self, *, before: UUID | None, limit: int, author: UUID | None = None, tag: str | None = None
    ) -> list[Post]:
        return self._inner.page(before=before, limit=limit, author=author, tag=tag)

    def by_authors(
        self, authors: Collection[UUID], *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        return self._inner.by_authors(authors, before=before, after=after, limit=limit)

    def in_flight(
        self, authors: Collection[UUID] | None, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        return self._inner.in_flight(authors, before=before, after=after, limit=limit)

    def ids(self, *, after: UUID | None, limit: int) -> list[PostRef]:
        return self._inner.ids(after=after, limit=limit)

    def buried(self, ids: Collection[UUID]) -> set[UUID]:
        return self._inner.buried(ids)

    def counts(self, authors: Collection[UUID]) -> dict[UUID, int]:
        return self._inner.counts(authors)

    def tags(self, *, after: str | None, limit: int) -> list[TagCount]:
        return self._inner.tags(after=after, limit=limit)


class CachedDocuments(Documents):
    """Documents whose posts and products come out of the cache; `truth` is without it.

    The cache is the caller's: `close` leaves it open.
    """

    posts: CachedPosts
    comments: CommentStore
    products: CachedProducts
    views: ViewStore
    outbox: Outbox

    def __init__(self, documents: Documents, posts: CachedPosts, products: CachedProducts) -> None:
        self.posts = posts
        self.comments = documents.comments
        self.products = products
        self.views = documents.views
        self.outbox = documents.outbox
        self.truth = documents

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return self.truth.migrate(dry_run=dry_run)

    def ping(self) -> None:
        self.truth.ping()

    def close(self) -> None:
        self.truth.close()


def with_cache(
    documents: Documents,
    through: ReadThrough,
    fresh: float,
    *,
    post: Callable[[Post], bytes] = msgspec.json.encode,
    product: Callable[[Product], bytes] = msgspec.json.encode,
) -> CachedDocuments:
    """These documents with each post and product kept in the cache, fresh for about `fresh` seconds.

    `post` and `product` write the stored bodies; see `Records`.
    """
    posts = CachedPosts(documents.posts, through, fresh, post)
    return CachedDocuments(documents, posts, CachedProducts(documents.products, through, fresh, product))
