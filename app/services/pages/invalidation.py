"""What each change makes old in the cache: dropped by the write itself, and once more by its event.

Both ask here, so that neither knows less than the other. Parts are dropped in one step with the lists they are in;
pages that are kept whole end with the parts they were made of.
"""

from collections.abc import Collection
from uuid import UUID

from app.services.pages.counters import Counters
from app.services.pages.first_pages import Firsts
from app.services.pages.profiles import Profiles
from repositories.readthrough import CachedDocuments, ReadThrough, Wanted


class Changes:
    def __init__(
        self,
        through: ReadThrough,
        documents: CachedDocuments,
        counters: Counters,
        profiles: Profiles,
        firsts: Firsts,
    ) -> None:
        self._documents = documents
        self._counters = counters
        self._profiles = profiles
        self._firsts = firsts
        # `forget` is for a write that is done and must not fail for the cache; `drop` raises `Unavailable`.
        self.forget = through.forget
        self.drop = through.drop

    def post(self, post_id: UUID, author: UUID, tags: Collection[str]) -> Wanted:
        """Published or deleted."""
        lists = self._firsts.with_post(author, tags)
        return {self._documents.posts.kind: [post_id], self._counters.of_accounts: [author], **lists}

    def post_edited(self, post_id: UUID, author: UUID, tags: Collection[str]) -> Wanted:
        """`tags` are those it got or lost."""
        return {self._documents.posts.kind: [post_id], **self._firsts.with_tags(author, tags)}

    def product(self, product_id: UUID, categories: Collection[str]) -> Wanted:
        """Offered or withdrawn."""
        return {self._documents.products.kind: [product_id], **self._firsts.with_product([None, *categories])}

    def product_edited(self, product_id: UUID, categories: Collection[str]) -> Wanted:
        """`categories` are the one it left and the one it came into."""
        return {self._documents.products.kind: [product_id], **self._firsts.with_product(categories)}

    def account(self, account_id: UUID, handles: Collection[str]) -> Wanted:
        """Registered or edited; `handles` are the one before and the one after."""
        return self._profiles.changed(account_id, handles)

    def renamed(self, handles: Collection[str]) -> Wanted:
        return self._profiles.named_by(handles)

    def stock(self, product_ids: Collection[UUID]) -> Wanted:
        return {self._counters.of_stock: product_ids}
