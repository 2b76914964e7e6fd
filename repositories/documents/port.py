"""The port of the documents role: posts, comments and products, each stored together with its own unsent events.

A change and its event are one atomic write of one document. A deleted document stays as a tombstone, which no read
returns, until its events are acknowledged. Writes are durable when they return, and every later read sees them. The
exception: with secondaries, the reads listed in `MAY_LAG` (`repositories/read_your_writes.py`) may miss recent writes
of other clients, but never those of the client that reads. Text may hold any character except a lone surrogate, and
integers are 64-bit; other values raise `Invalid`. Every method may raise `Unavailable`.

Lists are sorted in the direction of paging: newest first below `before` (or from the top), oldest first above `after`.
At most one of the two is given.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.documents.views_port import ViewStore
from repositories.dump_port import Dump
from repositories.outbox import Outbox
from repositories.records.content import Comment, Post, PostRef, TagCount
from repositories.records.events import Event
from repositories.records.products import Facets, Product, ProductFilter
from repositories.store import Store


class PostStore(Protocol):
    @abstractmethod
    def add(self, post: Post, event: Event) -> None:
        """Store a new post, in flight until `event` is acknowledged. Raises `Conflict('id')`."""

    @abstractmethod
    def get(self, ids: Collection[UUID]) -> dict[UUID, Post]:
        """The posts that exist, in one round trip. Unknown and deleted ids are left out."""

    @abstractmethod
    def authors(self, ids: Collection[UUID]) -> dict[UUID, UUID]:
        """The author of each of these posts that exists: like `get`, without the bodies."""

    @abstractmethod
    def replace(self, post: Post, event: Event, *, if_version: int) -> None:
        """Store the post if the stored version is still `if_version`. Raises `Stale`, `NotFound`."""

    @abstractmethod
    def delete(self, post_id: UUID, event: Event, *, if_version: int) -> None:
        """Delete the post; from then on no read returns its comments either. Raises `Stale`, `NotFound`."""

    @abstractmethod
    def delete_of(self, author_id: UUID, announce: Callable[[Post], Event], *, limit: int) -> list[Post]:
        """Delete up to `limit` posts of an author, each with the event that `announce` makes of it.

        Returns the posts; fewer than `limit` means that none are left. The list may include posts that a concurrent
        call has deleted.
        """

    @abstractmethod
    def page(
        self, *, before: UUID | None, limit: int, author: UUID | None = None, tag: str | None = None
    ) -> list[Post]:
        """Posts by descending id (newest first), strictly below `before`; optionally of one author, with one tag (exact
        match), or both.
        """

    @abstractmethod
    def by_authors(
        self, authors: Collection[UUID], *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        """The pull path of feeds: the posts of these authors, by id, in the direction of paging."""

    @abstractmethod
    def in_flight(
        self, authors: Collection[UUID] | None, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        """Like `by_authors`, restricted to posts whose first event is not acknowledged yet (waiting, leased or
        dead-lettered). With `authors` None: posts of all authors. Either way it reads an index that contains only
        posts in flight.
        """

    @abstractmethod
    def ids(self, *, after: UUID | None, limit: int) -> list[PostRef]:
        """All posts, oldest first, strictly above `after`: for rebuilding and checking projections."""

    @abstractmethod
    def buried(self, ids: Collection[UUID]) -> set[UUID]:
        """Which of these are deleted posts with unacknowledged events: waiting, leased or dead-lettered."""

    @abstractmethod
    def counts(self, authors: Collection[UUID]) -> dict[UUID, int]:
        """The number of posts of each author, in one round trip. Each of `authors` has an entry."""

    @abstractmethod
    def tags(self, *, after: str | None, limit: int) -> list[TagCount]:
        """The tags in use with the number of posts of each, in code point order, strictly above `after`."""

    @abstractmethod
    def load(self, posts: Sequence[Post]) -> None:
        """Store many posts without events, for seeding. Posts that exist already stay unchanged."""


class CommentStore(Protocol):
    @abstractmethod
    def add(
        self, post_id: UUID, author_id: UUID, body: str, at: datetime, announce: Callable[[Comment], Event]
    ) -> Comment:
        """Number the comment and store it with the event that `announce` makes of it.

        `announce` must be free of side effects: it is called again when a concurrent write of the same post came first.
        Raises `NotFound` if the post does not exist, and `Contention` if other writers came first until the deadline.
        """

    @abstractmethod
    def get(self, post_id: UUID, number: int) -> Comment | None: ...

    @abstractmethod
    def page(self, post_id: UUID, *, after: int | None, limit: int) -> list[Comment]:
        """The comments of a post by ascending number, strictly above `after`."""

    @abstractmethod
    def by_author(self, author_id: UUID, *, after: tuple[UUID, int] | None, limit: int) -> list[Comment]:
        """The author's comments on posts that exist, ascending by post id and number, strictly above `after`."""

    @abstractmethod
    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        """The exact number of comments of each post, in one round trip. Each of `post_ids` has an entry."""

    @abstractmethod
    def delete(self, post_id: UUID, number: int, event: Event) -> None:
        """Raises `NotFound`."""

    @abstractmethod
    def delete_of(self, author_id: UUID, announce: Callable[[Comment], Event], *, limit: int) -> list[Comment]:
        """Like `PostStore.delete_of`, for the author's comments on any post. Raises `Contention`."""

    @abstractmethod
    def recount(self, post_ids: Collection[UUID], *, repair: bool) -> dict[UUID, tuple[int, int]]:
        """The posts whose stored comment count is wrong, as (stored, actual). `repair` also corrects the count."""

    @abstractmethod
    def load(self, comments: Sequence[Comment]) -> None:
        """Store many numbered comments without events, for seeding, and count them. Idempotent.

        Comments on posts that do not exist are skipped.
        """


class ProductStore(Protocol):
    @abstractmethod
    def add(self, product: Product, event: Event) -> None:
        """Raises `Conflict('id')`."""

    @abstractmethod
    def get(self, ids: Collection[UUID]) -> dict[UUID, Product]:
        """The products that exist, in one round trip. Unknown and deleted ids are left out."""

    @abstractmethod
    def replace(self, product: Product, event: Event, *, if_version: int) -> None:
        """Raises `Stale`, `NotFound`."""

    @abstractmethod
    def delete(self, product_id: UUID, event: Event, *, if_version: int) -> None:
        """Raises `Stale`, `NotFound`."""

    @abstractmethod
    def delete_of(self, seller_id: UUID, announce: Callable[[Product], Event], *, limit: int) -> list[Product]:
        """Like `PostStore.delete_of`."""

    @abstractmethod
    def page(self, where: ProductFilter, *, before: UUID | None, limit: int) -> list[Product]:
        """The matching products by descending id (newest first), strictly below `before`."""

    @abstractmethod
    def of_seller(self, seller_id: UUID, *, after: UUID | None, limit: int) -> list[Product]:
        """The seller's products by ascending id, strictly above `after`."""

    @abstractmethod
    def facets(self, where: ProductFilter, *, sample: int, values: int) -> Facets:
        """Facet counts over the newest `sample` products that match: at most `values` categories, and at most `values`
        values of each attribute.
        """

    @abstractmethod
    def load(self, products: Sequence[Product]) -> None:
        """Store many products without events, for seeding. Idempotent."""


class DocumentStore(Store, Protocol):
    posts: PostStore
    comments: CommentStore
    products: ProductStore
    views: ViewStore
    outbox: Outbox
    dump: Dump
