"""The kinds of cached things: their keys, where they are loaded from, and how long they are kept.

The lists of `first_pages.py` are kinds too. Bodies are stored as the API shows them. Counts are read from the truth: a
write that changes a count drops it, and the write's event drops it once more.
"""

import functools
import hashlib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from app.services.pages.fragments import account_part, encode, post_part, product_part
from app.services.pages.inbox_tops import InboxTop
from repositories.documents import DocumentStore
from repositories.feeds.notifications_port import Notifications
from repositories.hot import Value
from repositories.records.content import Post
from repositories.records.people import Account
from repositories.records.products import Product
from repositories.relational import RelationalStore

K = TypeVar("K")
ABSENT_SECONDS = 5.0


@dataclass(frozen=True, eq=False)
class Kind(Generic[K]):
    """A kind of cached things. The `str` of a thing's id (a UUID, a handle, a list) is the end of its key.

    `load` returns the values that the source has for some ids, in one round trip. It must not read through the cache.
    `schema` changes with the shape of the bodies, so that a new release does not read old ones. In seconds: a value is
    renewed after `fresh`, and served for at most `stale` more while it is being renewed or the source is unavailable;
    that a thing does not exist is cached for `absent` (0: not cached).
    """

    name: str
    schema: str
    load: Callable[[Collection[K]], Mapping[K, Value]]
    fresh: float
    stale: float = 10.0
    absent: float = 0.0

    def key(self, about: K) -> str:
        return f"{self.name}@{self.schema}:{about}"


class PostStats(Struct, frozen=True):
    likes: int
    comments: int


class AccountStats(Struct, frozen=True):
    followers: int
    following: int
    posts: int


class Units(Struct, frozen=True):
    """Units of a product that can be ordered."""

    available: int


class Kinds:
    """The note of a post, a product and a handle is the id of the account that it belongs to."""

    def __init__(
        self, relational: RelationalStore, documents: DocumentStore, notifications: Notifications, fresh: float
    ) -> None:
        """`fresh` is that of each kind, in seconds."""
        self._relational = relational
        self._documents = documents
        self._notifications = notifications
        self.posts: Kind[UUID] = Kind("post", schema_of(Post), self._posts, fresh, absent=ABSENT_SECONDS)
        self.products: Kind[UUID] = Kind("product", schema_of(Product), self._products, fresh, absent=ABSENT_SECONDS)
        self.accounts: Kind[UUID] = Kind("account", schema_of(Account), self._accounts, fresh)
        self.handles: Kind[str] = Kind("handle", "1", self._handles, fresh, absent=ABSENT_SECONDS)
        self.post_stats: Kind[UUID] = Kind("stats:post", schema_of(PostStats), self._post_stats, fresh)
        self.account_stats: Kind[UUID] = Kind("stats:account", schema_of(AccountStats), self._account_stats, fresh)
        self.stock: Kind[UUID] = Kind("stock", schema_of(Units), self._stock, fresh)
        self.inboxes: Kind[UUID] = Kind("inbox", schema_of(InboxTop), self._inboxes, fresh)

    def _posts(self, ids: Collection[UUID]) -> dict[UUID, Value]:
        found = self._documents.posts.get(ids)
        return {i: Value(post_part(p), p.version, note=p.author_id.bytes) for i, p in found.items()}

    def _products(self, ids: Collection[UUID]) -> dict[UUID, Value]:
        found = self._documents.products.get(ids)
        return {i: Value(product_part(p), p.version, note=p.seller_id.bytes) for i, p in found.items()}

    def _accounts(self, ids: Collection[UUID]) -> dict[UUID, Value]:
        return {i: account_value(account) for i, account in self._relational.accounts.get(ids).items()}

    def _handles(self, handles: Collection[str]) -> dict[str, Value]:
        """One statement, since callers ask for one handle at a time."""
        found = {handle: self._relational.accounts.by_handle(handle) for handle in handles}
        return {handle: Value(b"{}", note=one.id.bytes) for handle, one in found.items() if one}

    def _post_stats(self, ids: Collection[UUID]) -> dict[UUID, Value]:
        likes, comments = self._relational.likes.counts(ids), self._documents.comments.counts(ids)
        return {i: Value(encode(PostStats(likes[i], comments[i]))) for i in ids}

    def _account_stats(self, ids: Collection[UUID]) -> dict[UUID, Value]:
        graph, posts = self._relational.graph.counts(ids), self._documents.posts.counts(ids)
        return {i: Value(encode(AccountStats(graph[i].followers, graph[i].following, posts[i]))) for i in ids}

    def _stock(self, ids: Collection[UUID]) -> dict[UUID, Value]:
        return {i: Value(encode(Units(units))) for i, units in self._relational.stock.available(ids).items()}

    def _inboxes(self, owners: Collection[UUID]) -> dict[UUID, Value]:
        """Two or three reads, since callers ask for one inbox at a time."""
        return {owner: InboxTop.read(self._notifications, owner).value() for owner in owners}


class Used:
    """The fragments that a page is made of: their keys, and the stamps of the values that were read.

    `stamps` is for `Fill.parts`. It is None if the page must not be kept: a fragment is not stored, changed between two
    reads, or is due. `left` is the time in seconds until the first fragment is due.
    """

    def __init__(self) -> None:
        self._stamps: dict[str, bytes] = {}
        self._sound = True
        self.left = math.inf

    @property
    def stamps(self) -> Mapping[str, bytes] | None:
        return self._stamps if self._sound and self.left > 0 else None

    def lacks(self) -> None:
        """Record that something the page depends on was unavailable, so that the page is not kept."""
        self._sound = False

    def note(self, key: str, stamp: bytes | None, left: float) -> None:
        if stamp is None or self._stamps.setdefault(key, stamp) != stamp:
            self._sound = False
        self.left = min(self.left, left)


def account_value(account: Account) -> Value:
    return Value(account_part(account), account.version)


@functools.cache
def schema_of(record: type) -> str:
    """A short digest of a record type's shape: the names and types of its fields, including nested ones."""
    shape: Any = msgspec.json.schema(record)
    return hashlib.sha256(msgspec.json.encode(shape, order="deterministic")).hexdigest()[:8]
