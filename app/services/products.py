"""The catalogue: products are documents, their stock is relational."""

from typing import TypedDict
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.clock import Clock
from app.errors import Forbidden, Missing, PreconditionFailed, RuleBroken
from app.events import AnyEvent, ProductEdited, ProductListed, ProductWithdrawn, pack
from app.ids import Ids
from app.services.idempotency import Child
from app.services.precondition import Precondition
from repositories.documents import Documents
from repositories.errors import Conflict, Short, Stale
from repositories.records import AttributeValue, Event, Money, Product
from repositories.relational import Relational


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
    def __init__(self, relational: Relational, documents: Documents, clock: Clock, ids: Ids) -> None:
        self._relational = relational
        self._documents = documents
        self._clock = clock
        self._ids = ids

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
        try:
            self._documents.products.add(product, self._event(ProductListed(product.id, seller), product.id))
        except Conflict:
            return self.read(product.id)
        return product

    def read(self, product_id: UUID) -> Product:
        found = self._documents.products.get([product_id]).get(product_id)
        if found is None:
            raise Missing("there is no such product")
        return found

    def edit(self, seller: UUID, product_id: UUID, changes: ProductChanges, condition: Precondition) -> Product:
        """Raises `Missing`, `Forbidden`, `PreconditionRequired`, `PreconditionFailed`."""
        current = self._own(seller, product_id, condition)
        if not changes:
            return current
        edited = replace(current, **changes, updated_at=self._clock(), version=current.version + 1)
        event = self._event(ProductEdited(product_id, seller), product_id)
        try:
            self._documents.products.replace(edited, event, if_version=current.version)
        except Stale as stale:
            raise PreconditionFailed("the product has changed meanwhile") from stale
        return edited

    def withdraw(self, seller: UUID, product_id: UUID, condition: Precondition) -> None:
        current = self._own(seller, product_id, condition)
        event = self._event(ProductWithdrawn(product_id, seller), product_id)
        try:
            self._documents.products.delete(product_id, event, if_version=current.version)
        except Stale as stale:
            raise PreconditionFailed("the product has changed meanwhile") from stale

    def put_stock(self, seller: UUID, product_id: UUID, on_hand: int, condition: Precondition) -> Product:
        """Set the units on hand. The condition is on the product's version; stock does not change that version.

        Raises `RuleBroken` with code `stock_reserved` below what orders have reserved.
        """
        product = self._own(seller, product_id, condition)
        try:
            with self._relational.transaction() as tx:
                tx.stock.put(product_id, on_hand)
        except Short as short:
            raise RuleBroken("more than that is reserved for orders", code="stock_reserved") from short
        return product

    def _own(self, seller: UUID, product_id: UUID, condition: Precondition) -> Product:
        product = self.read(product_id)
        if product.seller_id != seller:
            raise Forbidden("this product is somebody else's")
        condition.check(product.version)
        return product

    def _event(self, event: AnyEvent, about: UUID) -> Event:
        return pack(self._ids(), event, about=about, at=self._clock())
