"""Cards: what people look at, put together from parts that change at different rates.

Each method takes a whole page and costs a fixed number of round trips, whatever the page's length.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from app.services.counters import AccountStats, Counters, PostStats
from repositories.records import Account, Comment, Post, Product
from repositories.relational import Relational


class PostViewer(Struct, frozen=True):
    liked: bool
    following_author: bool


class AccountViewer(Struct, frozen=True):
    following: bool
    follows_you: bool
    blocking: bool


class PostCard(Struct, frozen=True):
    """`viewer` is None for somebody who is not signed in."""

    post: Post
    author: Account
    stats: PostStats
    viewer: PostViewer | None


class AccountCard(Struct, frozen=True):
    account: Account
    stats: AccountStats
    viewer: AccountViewer | None


class ProductCard(Struct, frozen=True):
    product: Product
    seller: Account
    available: int


class CommentCard(Struct, frozen=True):
    comment: Comment
    author: Account


def new_account(account: Account) -> AccountCard:
    """The card of an account just registered: nothing is counted yet, so nothing need be read."""
    return AccountCard(account, AccountStats(0, 0, 0), None)


def new_post(post: Post, author: Account) -> PostCard:
    """The card of a post just published, as its author sees it."""
    return PostCard(post, author, PostStats(0, 0), PostViewer(liked=False, following_author=False))


class Cards:
    def __init__(self, relational: Relational, counters: Counters) -> None:
        self._relational = relational
        self._counters = counters

    def posts(self, posts: Sequence[Post], viewer: UUID | None) -> list[PostCard]:
        authors = self._relational.accounts.get({p.author_id for p in posts}) if posts else {}
        stats = self._counters.posts([p.id for p in posts])
        viewers = self._post_viewers(posts, viewer)
        return [PostCard(p, authors[p.author_id], stats[p.id], viewers.get(p.id)) for p in posts]

    def accounts(self, accounts: Sequence[Account], viewer: UUID | None) -> list[AccountCard]:
        stats = self._counters.accounts([a.id for a in accounts])
        viewers = self._account_viewers([a.id for a in accounts], viewer)
        return [AccountCard(a, stats[a.id], viewers.get(a.id)) for a in accounts]

    def accounts_by_id(self, ids: Sequence[UUID], viewer: UUID | None) -> list[AccountCard]:
        found = self._relational.accounts.get(ids) if ids else {}
        return self.accounts([found[i] for i in ids if i in found], viewer)

    def products(self, products: Sequence[Product]) -> list[ProductCard]:
        if not products:
            return []
        sellers = self._relational.accounts.get({p.seller_id for p in products})
        stock = self._relational.stock.available([p.id for p in products])
        return [ProductCard(p, sellers[p.seller_id], stock[p.id]) for p in products]

    def comments(self, comments: Sequence[Comment]) -> list[CommentCard]:
        authors = self._relational.accounts.get({c.author_id for c in comments}) if comments else {}
        return [CommentCard(c, authors[c.author_id]) for c in comments]

    def _post_viewers(self, posts: Sequence[Post], viewer: UUID | None) -> dict[UUID, PostViewer]:
        if viewer is None or not posts:
            return {}
        liked = self._relational.likes.liked(viewer, [p.id for p in posts])
        relations = self._relational.graph.relations(viewer, {p.author_id for p in posts})
        return {p.id: PostViewer(p.id in liked, relations[p.author_id].following) for p in posts}

    def _account_viewers(self, ids: Sequence[UUID], viewer: UUID | None) -> dict[UUID, AccountViewer]:
        if viewer is None or not ids:
            return {}
        relations = self._relational.graph.relations(viewer, ids)
        return {i: AccountViewer(r.following, r.follows_you, r.blocking) for i, r in relations.items()}
