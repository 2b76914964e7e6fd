"""Documents: posts, comments and products, each carrying its own unsent events.

A change and its event are one atomic write of one document. A deleted document stays as a tombstone, which no read
returns, until its events are acknowledged. Writes are durable when they return, and every later read sees them; where
secondaries are read, those of `MAY_LAG` (`repositories/read_your_writes.py`) see those of their own client at least.
Text may hold any character but a lone surrogate (`Invalid`); integers are 64-bit (`Invalid` beyond). Every method may
raise `Unavailable`.

Lists run in the direction of travel: newest first below `before` (or from the top), oldest first above `after`.
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
from repositories.records import Comment, Event, Facets, Post, PostRef, Product, ProductFilter, TagCount
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
        """Whose each of these posts is, of those that exist. As `get`, without the bodies."""

    @abstractmethod
    def replace(self, post: Post, event: Event, *, if_version: int) -> None:
        """Store the post when its version is still `if_version`. Raises `Stale`, `NotFound`."""

    @abstractmethod
    def delete(self, post_id: UUID, event: Event, *, if_version: int) -> None:
        """Raises `Stale`, `NotFound`. Its comments are gone from every read with it."""

    @abstractmethod
    def delete_of(self, author_id: UUID, announce: Callable[[Post], Event], *, limit: int) -> list[Post]:
        """Delete up to `limit` posts of an author, each with the event that `announce` makes of it.

        Returns them; fewer than `limit` were the last. What somebody else deletes meanwhile may be among them.
        """

    @abstractmethod
    def page(
        self, *, before: UUID | None, limit: int, author: UUID | None = None, tag: str | None = None
    ) -> list[Post]:
        """Newest first by id, strictly below `before`; of one author, or with one tag (exact), or both."""

    @abstractmethod
    def by_authors(
        self, authors: Collection[UUID], *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        """The pull path of feeds: what these authors posted, by id, in the direction of travel."""

    @abstractmethod
    def in_flight(
        self, authors: Collection[UUID] | None, *, before: UUID | None = None, after: UUID | None = None, limit: int
    ) -> list[PostRef]:
        """As `by_authors`, only posts whose first event is not acknowledged yet (waiting, leased or dead-lettered).

        None: by everybody. Both read an index that holds nothing but posts in flight.
        """

    @abstractmethod
    def ids(self, *, after: UUID | None, limit: int) -> list[PostRef]:
        """Every post, oldest first, strictly above `after`: for rebuilding and checking projections."""

    @abstractmethod
    def buried(self, ids: Collection[UUID]) -> set[UUID]:
        """Which of these are deleted posts with unacknowledged events: waiting, leased or dead-lettered."""

    @abstractmethod
    def counts(self, authors: Collection[UUID]) -> dict[UUID, int]:
        """How many posts each author has, in one round trip. Every one of `authors` has an entry."""

    @abstractmethod
    def tags(self, *, after: str | None, limit: int) -> list[TagCount]:
        """Tags in use, by code point order, strictly above `after`, with how many posts bear each."""

    @abstractmethod
    def load(self, posts: Sequence[Post]) -> None:
        """Store many posts without events, for seeding. Posts that are there already are left as they are."""


class CommentStore(Protocol):
    @abstractmethod
    def add(
        self, post_id: UUID, author_id: UUID, body: str, at: datetime, announce: Callable[[Comment], Event]
    ) -> Comment:
        """Number the comment and store it with the event `announce` makes of it. Raises `NotFound` without the post.

        `announce` has no effects of its own: it is called again when a race was lost. Raises `Contention` when
        that went on until the deadline.
        """

    @abstractmethod
    def get(self, post_id: UUID, number: int) -> Comment | None: ...

    @abstractmethod
    def page(self, post_id: UUID, *, after: int | None, limit: int) -> list[Comment]:
        """By number, ascending, strictly above `after`."""

    @abstractmethod
    def by_author(self, author_id: UUID, *, after: tuple[UUID, int] | None, limit: int) -> list[Comment]:
        """Under posts that are there, ascending by post id and number, strictly above `after`."""

    @abstractmethod
    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        """How many comments each post has, in one round trip, exact. Every one of `post_ids` has an entry."""

    @abstractmethod
    def delete(self, post_id: UUID, number: int, event: Event) -> None:
        """Raises `NotFound`."""

    @abstractmethod
    def delete_of(self, author_id: UUID, announce: Callable[[Comment], Event], *, limit: int) -> list[Comment]:
        """As `PostStore.delete_of`, under whatever posts. Raises `Contention`."""

    @abstractmethod
    def recount(self, post_ids: Collection[UUID], *, repair: bool) -> dict[UUID, tuple[int, int]]:
        """Posts whose kept count is not the number of their comments: (kept, true). With `repair` it is set right."""

    @abstractmethod
    def load(self, comments: Sequence[Comment]) -> None:
        """Store many numbered comments without events, for seeding, and count them. Idempotent.

        Comments of posts that are not there are left out.
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
        """As `PostStore.delete_of`."""

    @abstractmethod
    def page(self, where: ProductFilter, *, before: UUID | None, limit: int) -> list[Product]:
        """Newest first by id, strictly below `before`."""

    @abstractmethod
    def of_seller(self, seller_id: UUID, *, after: UUID | None, limit: int) -> list[Product]:
        """By ascending id, strictly above `after`."""

    @abstractmethod
    def facets(self, where: ProductFilter, *, sample: int, values: int) -> Facets:
        """Count the newest `sample` products that match; at most `values` values of each category and attribute."""

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
