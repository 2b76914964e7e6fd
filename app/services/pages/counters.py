"""Likes, comments, followers, units on hand and the like: counted by the truth, kept in the cache.

Every write that changes a count drops it from the cache after its commit, and the event drops it once more, so
that a count survives neither a crash between the two nor a cache that was away.
"""

from collections.abc import Collection
from uuid import UUID

from msgspec import Struct

from repositories.documents import Documents
from repositories.readthrough import ReadThrough, Records
from repositories.relational import Relational


class PostStats(Struct, frozen=True):
    likes: int
    comments: int


class AccountStats(Struct, frozen=True):
    followers: int
    following: int
    posts: int


class Stock(Struct, frozen=True):
    """Units that can be ordered."""

    available: int


class Counters:
    """Reads never fail for the cache's sake. `forget_*` swallow its absence, `drop_*` (for handlers) do not."""

    def __init__(self, relational: Relational, documents: Documents, through: ReadThrough, fresh: float) -> None:
        self._relational = relational
        self._documents = documents
        self._posts = Records(through, "stats:post", PostStats, self._count_posts, fresh=fresh)
        self._accounts = Records(through, "stats:account", AccountStats, self._count_accounts, fresh=fresh)
        self._stock = Records(through, "stock", Stock, self._count_stock, fresh=fresh)
        self.of_posts, self.of_accounts, self.of_stock = self._posts.kind, self._accounts.kind, self._stock.kind

    def posts(self, ids: Collection[UUID]) -> dict[UUID, PostStats]:
        return self._posts.get(ids)

    def accounts(self, ids: Collection[UUID]) -> dict[UUID, AccountStats]:
        return self._accounts.get(ids)

    def forget_posts(self, ids: Collection[UUID]) -> None:
        self._posts.forget(ids)

    def forget_accounts(self, ids: Collection[UUID]) -> None:
        self._accounts.forget(ids)

    def drop_posts(self, ids: Collection[UUID]) -> None:
        self._posts.drop(ids)

    def drop_accounts(self, ids: Collection[UUID]) -> None:
        self._accounts.drop(ids)

    def forget_stock(self, product_ids: Collection[UUID]) -> None:
        self._stock.forget(product_ids)

    def drop_stock(self, product_ids: Collection[UUID]) -> None:
        self._stock.drop(product_ids)

    def _count_posts(self, ids: Collection[UUID]) -> dict[UUID, PostStats]:
        likes = self._relational.likes.counts(ids)
        comments = self._documents.comments.counts(ids)
        return {i: PostStats(likes[i], comments[i]) for i in ids}

    def _count_accounts(self, ids: Collection[UUID]) -> dict[UUID, AccountStats]:
        graph = self._relational.graph.counts(ids)
        posts = self._documents.posts.counts(ids)
        return {i: AccountStats(graph[i].followers, graph[i].following, posts[i]) for i in ids}

    def _count_stock(self, ids: Collection[UUID]) -> dict[UUID, Stock]:
        return {i: Stock(units) for i, units in self._relational.stock.available(ids).items()}
