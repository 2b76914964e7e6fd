"""Products and their stock. Products are documents, stock is relational."""

from contextlib import suppress
from typing import TypedDict
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.errors import Forbidden, Missing, PreconditionFailed, RuleBroken
from app.events import ProductEdited, ProductListed, ProductWithdrawn, StockPut
from app.services.commands.idempotency import ReservedId
from app.services.commands.kit import Kit
from app.services.commands.precondition import Precondition
from app.services.money.offers import UNKNOWN, Offers
from app.services.pages.invalidation import Invalidation
from repositories.documents import DocumentStore
from repositories.errors import Conflict, Contention, NotFound, Short, Stale
from repositories.records.money import Money
from repositories.records.orders import Stock
from repositories.records.products import AttributeValue, Product
from repositories.relational import RelationalStore

TRIES = 8
MOST = 2**63 - 1


class ProductDraft(Struct, frozen=True):
    title: str
    category: str
    price: Money
    description: str = ""
    attributes: dict[str, AttributeValue] = {}


class ProductChanges(TypedDict, total=False):
    title: str
    category: str
    price: Money
    description: str
    attributes: dict[str, AttributeValue]


class Products:
    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        offers: Offers,
        invalidation: Invalidation,
        kit: Kit,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._offers = offers
        self._invalidation = invalidation
        self._clock = kit.clock
        self._ids = kit.ids
        self._pack = kit.emitter
        self._retry = kit.retry

    def clear_stock(self, product_id: UUID) -> None:
        """Close the offer and clear the stock of a withdrawn product, so that it cannot be ordered. Idempotent."""
        with self._invalidation.transaction() as tx:
            tx.offers.close(product_id)
            tx.stock.clear(product_id)

    def offer(self, seller: UUID, draft: ProductDraft, reserved: ReservedId | None = None) -> Product:
        """List a product, or return the one stored under the `reserved` id."""
        now = self._clock()
        product = Product(
            reserved.id if reserved else self._ids(),
            seller,
            draft.title,
            draft.description,
            draft.category,
            draft.price,
            draft.attributes,
            now,
            now,
            version=1,
        )
        event = self._pack(ProductListed(product.id, seller, (product.category,)))
        try:
            with self._invalidation.after(self._invalidation.product(product.id, [product.category])):
                self._documents.products.add(product, event)
        except Conflict:
            return self._existing(product.id)
        return product

    def edit(self, seller: UUID, product_id: UUID, changes: ProductChanges, condition: Precondition) -> Product:
        """Raises `Missing`, `Forbidden`, `PreconditionRequired`, `PreconditionFailed`."""
        current = self._own(seller, product_id)
        condition.check(current.version)
        if not changes:
            return current
        edited = replace(current, **changes, updated_at=self._clock(), version=current.version + 1)
        categories = (current.category, edited.category) if edited.category != current.category else ()
        event = self._pack(ProductEdited(product_id, seller, categories))
        self._offers.begin(product_id, current.version)
        try:
            with self._invalidation.after(self._invalidation.edited_product(product_id, categories)):
                self._documents.products.replace(edited, event, if_version=current.version)
        except Stale as stale:
            raise PreconditionFailed("the product has changed meanwhile") from stale
        self._offers.settle_written(edited)
        return edited

    def withdraw(self, seller: UUID, product_id: UUID, condition: Precondition) -> None:
        current = self._own(seller, product_id)
        condition.check(current.version)
        event = self._pack(ProductWithdrawn(product_id, seller, (current.category,)))
        self._offers.begin(product_id, current.version)
        try:
            with self._invalidation.after(self._invalidation.product(product_id, [current.category])):
                self._documents.products.delete(product_id, event, if_version=current.version)
        except Stale as stale:
            raise PreconditionFailed("the product has changed meanwhile") from stale

    def end_write(self, product_id: UUID) -> None:
        """Resolve a write of a product that began long ago and whose outcome was not recorded. Idempotent.

        If the document still has the version from before that write, it is rewritten unchanged under the next version.
        Should the old write still arrive, it fails its version check.
        """
        state = self._relational.offers.get([product_id]).get(product_id, UNKNOWN)
        product = self._documents.products.get([product_id]).get(product_id)
        if product is None or product.version < state.changing:
            with self._relational.transaction() as tx:
                tx.offers.close(product_id)
        elif product.version > state.changing:
            self._offers.settle(product_id)
        else:
            again = replace(product, version=product.version + 1)
            event = self._pack(ProductEdited(product_id, product.seller_id, ()))
            with self._invalidation.after(self._invalidation.edited_product(product_id, ())), suppress(Stale, NotFound):
                self._documents.products.replace(again, event, if_version=product.version)
                self._offers.settle_written(again)

    def stock(self, seller: UUID, product_id: UUID) -> Stock:
        """The stock as its seller sees it. Raises `Missing`, `Forbidden`."""
        return self._level(self._own(seller, product_id).id)

    def put_stock(self, before: Stock, on_hand: int, *, if_version: int | None) -> Stock:
        """Set the units on hand, including reserved ones. `before` is what `stock` has returned.

        Raises `RuleBroken` with code `stock_reserved` if orders have reserved more than `on_hand`, and with `too_much`
        if `on_hand` and the units sold exceed 2^63 - 1 together; `PreconditionFailed` if units were sold or put since
        `if_version`.
        """
        if on_hand + before.sold > MOST:
            raise RuleBroken("the units on hand and sold exceed 64 bits together", code="too_much")
        if on_hand < 0:
            raise RuleBroken("there are fewer units than are to be removed", code="stock_reserved")
        try:
            return self._retry(lambda: self._put_stock(before.product_id, on_hand, if_version))
        except Short as short:
            raise RuleBroken("more units than that are reserved by orders", code="stock_reserved") from short
        except Stale as stale:
            raise PreconditionFailed("the stock has changed meanwhile") from stale

    def add_stock(self, before: Stock, delta: int, *, anyhow: bool) -> Stock:
        """Add `delta` units to those of `before`; a negative `delta` removes units.

        If the stock has changed since `before`, raises `PreconditionFailed`; with `anyhow` it adds to the current
        level instead, and raises `Contention` after `TRIES` attempts. Otherwise raises what `put_stock` does.
        """
        for _ in range(TRIES):
            try:
                return self.put_stock(before, max(before.on_hand + delta, -1), if_version=before.version)
            except PreconditionFailed:
                if not anyhow:
                    raise
            before = self._level(before.product_id)
        raise Contention(str(before.product_id))

    def _put_stock(self, product_id: UUID, on_hand: int, if_version: int | None) -> Stock:
        with self._invalidation.transaction() as tx:
            changed = tx.stock.put(product_id, on_hand, if_version=if_version)
            tx.emit(self._pack(StockPut(product_id)))
        return changed

    def _level(self, product_id: UUID) -> Stock:
        return self._relational.stock.levels([product_id]).get(product_id) or Stock(product_id, 0, 0, 0, 0)

    def _own(self, seller: UUID, product_id: UUID) -> Product:
        product = self._existing(product_id)
        if product.seller_id != seller:
            raise Forbidden("this product is somebody else's")
        return product

    def _existing(self, product_id: UUID) -> Product:
        """Read from the store, not the cache: the client's precondition is compared with its version."""
        found = self._documents.products.get([product_id]).get(product_id)
        if found is None:
            raise Missing("there is no such product")
        return found
