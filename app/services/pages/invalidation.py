"""The cached keys that each change makes stale, and dropping them. No other module drops what a write made stale.

A write drops its keys once, in one round trip, after its commit and before its answer; its event drops them once more.
Fragments and the lists they are in are dropped in one step; whole pages become invalid with their fragments.
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
# Prefix of the keys of deferred work that are drops.
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
        """`lost` is given if pages of feeds are checked against kept states."""
        self._cache = cache
        self.lost = lost
        self._relational = relational
        self._kinds = kinds
        self._lists = lists
        self._clock = clock
        self._away_until = 0.0

    def drop(self, keys: Collection[str]) -> None:
        """Once this returns, no reader gets an older value. One round trip. Raises `Unavailable`."""
        if keys:
            self._cache.drop(keys)
            cache_event("drop", len(keys))

    def drop_or_defer(self, keys: Collection[str]) -> None:
        """For event handlers: `drop`, or store the drops as deferred work while the cache is unavailable.

        After a failure the cache is not asked for `AWAY_SECONDS`.
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
        """`drop` after a write, which must not fail because of the cache: the write's event drops once more.

        A failed drop of flight or of a kept state is settled by `LostDrops`; raises `Unavailable` if that fails too.
        """
        try:
            self.drop(keys)
        except Unavailable as error:
            log.warning("%d keys stay cached until their event: %s: %s", len(keys), list(keys)[:LOGGED], error)
            if self.lost and any(is_of_feeds(key) for key in keys):
                self.lost.settle()

    @contextmanager
    def after(self, keys: Collection[str]) -> Iterator[None]:
        """Context of a write: `forget` the keys at its end, also after an error, since its outcome may be unknown."""
        try:
            yield
        finally:
            self.forget(keys)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A relational transaction that may change stock. At its end, also after an error, `forget` that stock."""
        touched: Collection[UUID] = ()
        try:
            with self._relational.transaction() as tx:
                touched = tx.stock.touched
                yield tx
        finally:
            self.forget(self.stock(touched))

    def everything(self) -> None:
        """Empty the cache after a load that bypassed services and events. Logs `Unavailable`."""
        try:
            self._cache.void()
        except Unavailable as error:
            log.warning("the cache is not emptied: %s", error)

    def published(self, post_id: UUID, author: UUID, tags: Collection[str]) -> Keys:
        return [FLIGHT, *self.post(post_id, author, tags)]

    def post(self, post_id: UUID, author: UUID, tags: Collection[str]) -> Keys:
        """The keys of a post that was published, delivered or deleted."""
        authors = [self._lists.author_lists.key(AuthorList(n, author)) for n in LENGTHS]
        lists = [*self._post_lists(author, (None, *tags)), *authors, *self._tag_lists(tags)]
        return [self._kinds.posts.key(post_id), *self.account_stats([author]), *lists]

    def edited_post(self, post_id: UUID, author: UUID, tags: Collection[str]) -> Keys:
        """The keys of an edited post. `tags` are those added or removed."""
        return [self._kinds.posts.key(post_id), *self._post_lists(author, tags), *self._tag_lists(tags)]

    def product(self, product_id: UUID, categories: Collection[str]) -> Keys:
        """The keys of a product that was offered or withdrawn."""
        return self.edited_product(product_id, [None, *categories])

    def edited_product(self, product_id: UUID, categories: Collection[str | None]) -> Keys:
        """The keys of an edited product. `categories` are the former and the new one if they differ; None stands for
        the list of all products.
        """
        lists = [self._lists.product_lists.key(ProductList(n, one)) for n in LENGTHS for one in categories]
        return [self._kinds.products.key(product_id), *lists]

    def account(self, account_id: UUID, handles: Collection[str]) -> Keys:
        """The keys of an account that was registered or edited. `handles` are the former and the new one."""
        return [self._kinds.accounts.key(account_id), *self.handles(handles)]

    def handles(self, handles: Collection[str]) -> Keys:
        """The keys that map these handles to accounts."""
        return [self._kinds.handles.key(name) for name in {name_of(handle) for handle in handles}]

    def post_stats(self, post_ids: Iterable[UUID]) -> Keys:
        return [self._kinds.post_stats.key(i) for i in post_ids]

    def liked(self, account_id: UUID, post_ids: Iterable[UUID]) -> Keys:
        """The keys for posts that the account liked or unliked."""
        return [*self.post_stats(post_ids), likes_key(account_id), state_key(account_id)]

    def follow(self, follower: UUID, followee: UUID) -> Keys:
        """The keys for a follow that was made or ended."""
        return [*self.account_stats([follower, followee]), follows_key(follower), state_key(follower)]

    def block(self, blocker: UUID, blocked: UUID) -> Keys:
        """The keys for a block that was made or ended. Making it ends both follows; either changes what the two
        accounts are shown of each other.
        """
        ended = {*self.follow(blocker, blocked), *self.follow(blocked, blocker)}
        return [*ended, blocks_key(blocker)]

    def account_stats(self, account_ids: Iterable[UUID]) -> Keys:
        return [self._kinds.account_stats.key(i) for i in account_ids]

    def ordered_stock(self, order_id: UUID) -> Keys:
        """The stock keys of the products in an order."""
        order = self._relational.orders.get([order_id]).get(order_id)
        return self.stock({line.product_id for line in order.lines}) if order else []

    def inboxes(self, owners: Iterable[UUID]) -> Keys:
        """The keys of inboxes in which something was noted, withdrawn or marked as read."""
        return [self._kinds.inboxes.key(i) for i in owners]

    def stock(self, product_ids: Iterable[UUID]) -> Keys:
        return [self._kinds.stock.key(i) for i in product_ids]

    def _post_lists(self, author: UUID, tags: Iterable[str | None]) -> Keys:
        lists = self._lists.post_lists
        return [lists.key(PostList(n, by, tag)) for tag in tags for n in LENGTHS for by in (None, author)]

    def _tag_lists(self, tags: Collection[str]) -> Keys:
        return [self._lists.tag_lists.key(n) for n in LENGTHS] if tags else []
