"""Offers: the data that an order copies from a product, remembered by each process that has read it.

The truth is the product's document. A row beside the stock has the digest of the offer, as long as it is certain that
the document still says the same (rules in `repositories/relational/offers_port.py`). A remembered offer is valid for an
order only if the row has its digest; the statement that reserves the units checks this. If not, the documents are read.

A write of a product takes three steps: `begin` voids the row, the document is written, `settle` fills the row again. A
process that crashes in between leaves a void row: orders then read the documents, and an order or the event of the
write settles the row if it can. A write that began but never reached the document is fenced off by the sweeper
(`Products.end_write`) before the row is settled.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from uuid import UUID

import msgspec
from msgspec import Struct

from app.services.commands.kit import Kit
from repositories.documents import DocumentStore
from repositories.errors import StoreError
from repositories.records.money import Money
from repositories.records.products import Product
from repositories.relational import RelationalStore, Transaction
from repositories.relational.offers_port import OfferState, Settled

log = logging.getLogger(__name__)
# Offers that a process remembers, and for how long. An edit made in the document store directly, past this module,
# takes effect in orders after this time.
MOST = 10_000
SECONDS = 60.0
UNKNOWN = OfferState()


class Offer(Struct, frozen=True):
    """The data that an order copies from a product."""

    product_id: UUID
    version: int
    title: str
    seller_id: UUID
    price: Money

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(msgspec.json.encode(self)).digest()


class _Remembered(Struct, frozen=True):
    offer: Offer
    digest: bytes
    until: float


class Offered(Struct, frozen=True):
    """Offers by product; products that do not exist have none.

    `remembered` are the digests of the offers that were not read just now. `settled` are rows to be settled in the
    order's transaction.
    """

    offers: Mapping[UUID, Offer]
    remembered: Mapping[UUID, bytes]
    settled: Collection[Settled] = ()


class Offers:
    """Remembers offers, and settles their rows. `elapsed` is a monotonic clock in seconds."""

    def __init__(
        self,
        relational: RelationalStore,
        documents: DocumentStore,
        kit: Kit,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._relational = relational
        self._documents = documents
        self._retry = kit.retry
        self._elapsed = elapsed
        self._kept: dict[UUID, _Remembered] = {}
        self._guard = threading.Lock()

    def of(self, products: Collection[UUID]) -> Offered:
        """The offer of each product: the remembered one, or else that of its document."""
        now = self._elapsed()
        found = ((one, self._kept.get(one)) for one in products)
        kept = {one: its for one, its in found if its is not None and its.until > now}
        read = self.read([one for one in products if one not in kept])
        remembered = {one: its.digest for one, its in kept.items()}
        return Offered({one: its.offer for one, its in kept.items()} | dict(read.offers), remembered, read.settled)

    def read(self, products: Collection[UUID]) -> Offered:
        """The offer of each product by its document. It is remembered if its row has its digest or can be settled.

        Rows are read before documents.
        """
        if not products:
            return Offered({}, {})
        states = self._relational.offers.get(products)
        offers = {one: offer_of(its) for one, its in self._documents.products.get(products).items()}
        settled = []
        with self._guard:
            for one in products:
                self._kept.pop(one, None)
        for one, offer in offers.items():
            state, digest = states.get(one, UNKNOWN), offer.digest
            if state.digest != digest:
                if offer.version <= state.changing:
                    continue
                settled.append(Settled(one, state.changing, digest))
            self._remember(offer, digest)
        return Offered(offers, {}, settled)

    def are_known(self, remembered: Mapping[UUID, bytes]) -> bool:
        """Whether the row of each product has this digest."""
        states = self._relational.offers.get(remembered)
        return all(states.get(one, UNKNOWN).digest == digest for one, digest in remembered.items())

    def begin(self, product_id: UUID, version: int) -> None:
        """Void the row, before the product is changed from this version."""
        self._retry(lambda: self._write(lambda tx: tx.offers.begin(product_id, version)))

    def settle(self, product_id: UUID) -> None:
        """Settle the row by the document, if its content is certain. Idempotent."""
        self._settle(self.read([product_id]).settled)

    def settle_written(self, product: Product) -> None:
        """Settle the row after a write from the previous version. If this fails, orders or the write's event do it."""
        try:
            self._settle([Settled(product.id, product.version - 1, offer_of(product).digest)])
        except StoreError as error:
            log.warning("what product %s is offered for is not known yet: %s", product.id, error)

    def _settle(self, known: Collection[Settled]) -> None:
        if known:
            self._retry(lambda: self._write(lambda tx: tx.offers.settle(known)))

    def _write(self, step: Callable[[Transaction], None]) -> None:
        with self._relational.transaction() as tx:
            step(tx)

    def _remember(self, offer: Offer, digest: bytes) -> None:
        """Remember an offer. If there are too many, the oldest is forgotten."""
        with self._guard:
            if len(self._kept) >= MOST:
                del self._kept[next(iter(self._kept))]
            self._kept[offer.product_id] = _Remembered(offer, digest, self._elapsed() + SECONDS)


def offer_of(product: Product) -> Offer:
    return Offer(product.id, product.version, product.title, product.seller_id, product.price)
