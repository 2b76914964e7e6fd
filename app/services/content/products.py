"""The catalogue: products are documents, their stock is relational."""

from typing import TypedDict
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.errors import Forbidden, Missing, PreconditionFailed, RuleBroken
from app.events import ProductEdited, ProductListed, ProductWithdrawn, StockPut
from app.services.commands.idempotency import Child
from app.services.commands.kit import Kit
from app.services.commands.precondition import Precondition
from app.services.pages.invalidation import Invalidation
from repositories.documents import Documents
from repositories.errors import Conflict, Short, Stale
from repositories.records import AttributeValue, Money, Product


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
    def __init__(self, documents: Documents, invalidation: Invalidation, kit: Kit) -> None:
        self._documents = documents
        self._invalidation = invalidation
        self._clock = kit.clock
        self._ids = kit.ids
        self._pack = kit.emitter

    def offer(self, seller: UUID, draft: ProductDraft, child: Child | None = None) -> Product:
        """A `child` that is there already is not made again."""
        now = self._clock()
        product = Product(
            child.id if child else self._ids(),
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
            return self._there(product.id)
        return product

    def edit(self, seller: UUID, product_id: UUID, changes: ProductChanges, condition: Precondition) -> Product:
        """Raises `Missing`, `Forbidden`, `PreconditionRequired`, `PreconditionFailed`."""
        current = self._own(seller, product_id, condition)
        if not changes:
            return current
        edited = replace(current, **changes, updated_at=self._clock(), version=current.version + 1)
        categories = (current.category, edited.category) if edited.category != current.category else ()
        event = self._pack(ProductEdited(product_id, seller, categories))
        try:
            with self._invalidation.after(self._invalidation.edited_product(product_id, categories)):
                self._documents.products.replace(edited, event, if_version=current.version)
        except Stale as stale:
            raise PreconditionFailed("the product has changed meanwhile") from stale
        return edited

    def withdraw(self, seller: UUID, product_id: UUID, condition: Precondition) -> None:
        current = self._own(seller, product_id, condition)
        event = self._pack(ProductWithdrawn(product_id, seller, (current.category,)))
        try:
            with self._invalidation.after(self._invalidation.product(product_id, [current.category])):
                self._documents.products.delete(product_id, event, if_version=current.version)
        except Stale as stale:
            raise PreconditionFailed("the product has changed meanwhile") from stale

    def put_stock(self, seller: UUID, product_id: UUID, on_hand: int, condition: Precondition) -> Product:
        """Set the units on hand. The condition is on the product's version; stock does not change that version.

        Raises `RuleBroken` with code `stock_reserved` below what orders have reserved.
        """
        product = self._own(seller, product_id, condition)
        try:
            with self._invalidation.transaction() as tx:
                tx.stock.put(product_id, on_hand)
                tx.emit(self._pack(StockPut(product_id)))
        except Short as short:
            raise RuleBroken("more than that is reserved for orders", code="stock_reserved") from short
        return product

    def _own(self, seller: UUID, product_id: UUID, condition: Precondition) -> Product:
        product = self._there(product_id)
        if product.seller_id != seller:
            raise Forbidden("this product is somebody else's")
        condition.check(product.version)
        return product

    def _there(self, product_id: UUID) -> Product:
        """By the truth, since what the client is willing to change is compared with it."""
        found = self._documents.products.get([product_id]).get(product_id)
        if found is None:
            raise Missing("there is no such product")
        return found
