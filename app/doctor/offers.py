"""Compares offers in the relational store with the documents of their products.

The row is read before and after the document. Every write of a product voids the row before it writes the document, so
a row that did not change in between must agree with the document.
"""

from collections.abc import Collection, Iterator, Sequence
from uuid import UUID

from app.doctor.findings import Report
from app.services.commands.retrying import Retry
from app.services.money.offers import offer_of
from repositories.documents import DocumentStore
from repositories.records.products import Product
from repositories.relational import RelationalStore
from repositories.relational.offers_port import OfferState

KIND = "offers"


class KnownOffers:
    def __init__(self, relational: RelationalStore, documents: DocumentStore, retry: Retry, report: Report) -> None:
        self._relational = relational
        self._documents = documents
        self._retry = retry
        self._report = report

    def check(self, products: Sequence[UUID], *, repair: bool) -> None:
        """Report wrong offers. `repair` deletes their rows: the next order reads the document and stores the offer."""
        wrong = dict(self._wrong(products))
        self._report.add(KIND, (f"offer of product {one}: {problem}" for one, problem in wrong.items()))
        if wrong and repair:
            for one in wrong:
                self._retry(lambda one=one: self._forget(one))  # type: ignore[misc]  # default binds
            self._report.unrepaired[KIND] += len(dict(self._wrong(list(wrong))))

    def _wrong(self, products: Collection[UUID]) -> Iterator[tuple[UUID, str]]:
        before = self._relational.offers.get(products)
        documents = self._documents.products.get(products)
        after = self._relational.offers.get(products)
        for one, state in before.items():
            if state == after.get(one) and (problem := _problem(state, documents.get(one))):
                yield one, problem

    def _forget(self, product_id: UUID) -> None:
        with self._relational.transaction() as tx:
            tx.offers.forget(product_id)


def _problem(state: OfferState, product: Product | None) -> str | None:
    """Say what is wrong. A missing document is no problem: nothing reads the offer of a product that does not exist."""
    if product is None:
        return None
    if state.digest and state.digest != offer_of(product).digest:
        return f"the stored digest does not match the document, which has version {product.version}"
    if state.changing > product.version:
        return f"a write based on version {state.changing} has begun, but the document has version {product.version}"
    return None
