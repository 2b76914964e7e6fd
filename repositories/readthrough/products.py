"""Products out of the cache."""

from collections.abc import Callable, Collection, Sequence
from uuid import UUID

from repositories.documents.port import ProductStore
from repositories.readthrough.kinds import Kind
from repositories.readthrough.records import Records
from repositories.readthrough.through import ReadThrough
from repositories.records import Event, Facets, Product, ProductFilter

ABSENT_SECONDS = 5.0


class CachedProducts(ProductStore):
    """Pattern: decorator, cache-aside, as `CachedPosts`. `get` asks the cache first; all else goes to `inner`."""

    def __init__(
        self, inner: ProductStore, through: ReadThrough, fresh: float, encode: Callable[[Product], bytes]
    ) -> None:
        self._inner = inner
        self._records: Records[UUID, Product] = Records(
            through,
            "product",
            Product,
            inner.get,
            fresh=fresh,
            absent=ABSENT_SECONDS,
            encode=encode,
            note=lambda product: product.seller_id.bytes,
        )

    @property
    def kind(self) -> Kind[UUID]:
        """Products as `encode` writes them; the note is the seller's id."""
        return self._records.kind

    def get(self, ids: Collection[UUID]) -> dict[UUID, Product]:
        return self._records.get(ids)

    def add(self, product: Product, event: Event) -> None:
        try:
            self._inner.add(product, event)
        finally:
            self._records.forget([product.id])

    def replace(self, product: Product, event: Event, *, if_version: int) -> None:
        try:
            self._inner.replace(product, event, if_version=if_version)
        finally:
            self._records.forget([product.id])

    def delete(self, product_id: UUID, event: Event, *, if_version: int) -> None:
        try:
            self._inner.delete(product_id, event, if_version=if_version)
        finally:
            self._records.forget([product_id])

    def load(self, products: Sequence[Product]) -> None:
        try:
            self._inner.load(products)
        finally:
            self._records.forget([product.id for product in products])

    def page(self, where: ProductFilter, *, before: UUID | None, limit: int) -> list[Product]:
        return self._inner.page(where, before=before, limit=limit)

    def facets(self, where: ProductFilter, *, sample: int, values: int) -> Facets:
        return self._inner.facets(where, sample=sample, values=values)
