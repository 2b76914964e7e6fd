"""What each change makes old in the cache, by its keys; and dropping it. No other module drops what a write made old.

A write drops once, in one round trip, after its commit and before its answer; its event drops the same once more.
Fragments are dropped in one step with the lists they are in; pages that are kept whole end with what they were made of.
"""

import logging
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from app.clock import Clock
from app.services.feeds.kept_states import FLIGHT, is_of_feeds, state_key
from app.services.pages.first_pages import LENGTHS, AuthorList, FirstPages, PostList, ProductList
from app.services.pages.handles import name_of
from app.services.pages.kinds import Kinds
from app.services.pages.lost_drops import LostDrops
from app.services.pages.marks import blocks_key, follows_key, likes_key
from repositories.errors import Unavailable
from repositories.hot import Cache
from repositories.meter import cache_event
from repositories.relational import RelationalStore, Transaction

log = logging.getLogger(__name__)
Keys = list[str]
LOGGED = 5
AWAY_SECONDS = 1.0
# Begins the keys of deferred work that is a drop.
DROP = b"drop:"


class Invalidation:
    def __init__(
        self,
        cache: Cache,
        relational: RelationalStore,
        kinds: Kinds,
        lists: FirstPages,
        clock: Clock,
        lost: LostDrops | None = None,
    ) -> None:
        """`lost`, where pages are answered by what is kept of feeds' states."""
        self._cache = cache
        self.lost = lost
        self._relational = relational
        self._kinds = kinds
        self._lists = lists
        self._clock = clock
        self._away_until = 0.0

    def drop(self, keys: Collection[str]) -> None:
        """From its return on no reader gets an older value. One round trip. Raises `Unavailable`."""
        if keys:
            self._cache.drop(keys)
            cache_event("drop", len(keys))

    def drop_or_defer(self, keys: Collection[str]) -> None:
        """For handlers: `drop`, and while the cache is away keep the keys, to be dropped as soon as it is back.

        A cache that did not answer is asked again after `AWAY_SECONDS`.
        """
        if not keys or time.monotonic() >= self._away_until:
            try:
                return self.drop(keys)
            except Unavailable:
                self._away_until = time.monotonic() + AWAY_SECONDS
        with self._relational.transaction() as tx:
            tx.deferred.put({DROP + key.encode(): b"" for key in keys}, at=self._clock())
        return None

    def forget(self, keys: Collection[str]) -> None:
        """`drop` after a write that is done and must not fail for the cache: the write's event drops once more.

        Raises `Unavailable` where a drop that no page may outlive could not be settled otherwise.
        """
        try:
            self.drop(keys)
        except Unavailable as error:
            log.warning("%d keys stay cached until their event: %s: %s", len(keys), list(keys)[:LOGGED], error)
            if self.lost and any(is_of_feeds(key) for key in keys):
                self.lost.settle()

    @contextmanager
    def after(self, keys: Collection[str]) -> Iterator[None]:
        """Around a write: when it has ended, also by an error, for then its outcome may be unknown, `forget`."""
        try:
            yield
        finally:
            self.forget(keys)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A relational transaction that may touch stock. When it has ended, however, `forget` what it touched."""
        touched: Collection[UUID] = ()
        try:
            with self._relational.transaction() as tx:
                touched = tx.stock.touched
                yield tx
        finally:
            self.forget(self.stock(touched))

    def everything(self) -> None:
        """After a load that went past services and events. Without a cache there is nothing to drop."""
        try:
            self._cache.void()
        except Unavailable as error:
            log.warning("the cache is not emptied: %s", error)

    def published(self, post_id: UUID, author: UUID, tags: Collection[str]) -> Keys:
        return [FLIGHT, *self.post(post_id, author, tags)]

    def post(self, post_id: UUID, author: UUID, tags: Collection[str]) -> Keys:
        """Delivered, or deleted."""
        authors = [self._lists.author_lists.key(AuthorList(n, author)) for n in LENGTHS]
        lists = [*self._post_lists(author, (None, *tags)), *authors, *self._tag_lists(tags)]
        return [self._kinds.posts.key(post_id), *self.account_stats([author]), *lists]

    def edited_post(self, post_id: UUID, author: UUID, tags: Collection[str]) -> Keys:
        """`tags` are those it got or lost."""
        return [self._kinds.posts.key(post_id), *self._post_lists(author, tags), *self._tag_lists(tags)]

    def product(self, product_id: UUID, categories: Collection[str]) -> Keys:
        """Offered or withdrawn."""
        return self.edited_product(product_id, [None, *categories])

    def edited_product(self, product_id: UUID, categories: Collection[str | None]) -> Keys:
        """`categories` are the one it left and the one it came into; None is the list of all products."""
        lists = [self._lists.product_lists.key(ProductList(n, one)) for n in LENGTHS for one in categories]
        return [self._kinds.products.key(product_id), *lists]

    def account(self, account_id: UUID, handles: Collection[str]) -> Keys:
        """Registered or edited; `handles` are the one before and the one after."""
        return [self._kinds.accounts.key(account_id), *self.handles(handles)]

    def handles(self, handles: Collection[str]) -> Keys:
        """Whose these handles are."""
        return [self._kinds.handles.key(name) for name in {name_of(handle) for handle in handles}]

    def post_stats(self, post_ids: Iterable[UUID]) -> Keys:
        return [self._kinds.post_stats.key(i) for i in post_ids]

    def liked(self, account_id: UUID, post_ids: Iterable[UUID]) -> Keys:
        """Liked by this account, or not any more."""
        return [*self.post_stats(post_ids), likes_key(account_id), state_key(account_id)]

    def follow(self, follower: UUID, followee: UUID) -> Keys:
        """Made or ended."""
        return [*self.account_stats([follower, followee]), follows_key(follower), state_key(follower)]

    def block(self, blocker: UUID, blocked: UUID) -> Keys:
        """Made, which ends both follows, or ended, of which what either is shown of the other changes."""
        ended = {*self.follow(blocker, blocked), *self.follow(blocked, blocker)}
        return [*ended, blocks_key(blocker)]

    def account_stats(self, account_ids: Iterable[UUID]) -> Keys:
        return [self._kinds.account_stats.key(i) for i in account_ids]

    def ordered_stock(self, order_id: UUID) -> Keys:
        """Of the products in an order."""
        order = self._relational.orders.get([order_id]).get(order_id)
        return self.stock({line.product_id for line in order.lines}) if order else []

    def inboxes(self, owners: Iterable[UUID]) -> Keys:
        """Of whom something is noted, withdrawn or marked as read."""
        return [self._kinds.inboxes.key(i) for i in owners]

    def stock(self, product_ids: Iterable[UUID]) -> Keys:
        return [self._kinds.stock.key(i) for i in product_ids]

    def _post_lists(self, author: UUID, tags: Iterable[str | None]) -> Keys:
        lists = self._lists.post_lists
        return [lists.key(PostList(n, by, tag)) for tag in tags for n in LENGTHS for by in (None, author)]

    def _tag_lists(self, tags: Collection[str]) -> Keys:
        return [self._lists.tag_lists.key(n) for n in LENGTHS] if tags else []
