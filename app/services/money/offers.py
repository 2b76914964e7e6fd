"""What an order copies from a product, remembered by the server that has read it.

The truth is the product's document. A row beside the stock says by a digest of which content the document is for sure
(`repositories/relational/offers_port.py` has the rules). What a server remembers is taken for an order only if the row
has its digest when the order's units are reserved, in the same statement. Where it does not, the documents are asked.

A write of a product takes three steps: `begin` voids the row, the document is written, `settle` fills the row again. A
process that ends between them leaves a row of which nothing is known: orders ask the documents then, and whoever can
settle the row does it, an order or the event of the write. A write that began and never came to the document is
fenced off by the sweeper (`Products.end_write`) before the row is settled.
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
from repositories.records import Money, Product
from repositories.relational import RelationalStore, Transaction
from repositories.relational.offers_port import OfferState, Settled

log = logging.getLogger(__name__)
# Of a server. What was changed with no word here, in the documents' own store, is sold as it was for so long.
MOST = 10_000
SECONDS = 60.0
UNKNOWN = OfferState()


class Offer(Struct, frozen=True):
    """What an order copies from a product."""

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
    """Offers by product; products that are not there have none.

    `remembered` are the digests of those that were not read for this; `settled` is to be settled with the order.
    """

    offers: Mapping[UUID, Offer]
    remembered: Mapping[UUID, bytes]
    settled: Collection[Settled] = ()


class Offers:
    """`elapsed` is in seconds."""

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
        """Of each product what is remembered, or else what its document says."""
        now = self._elapsed()
        found = ((one, self._kept.get(one)) for one in products)
        kept = {one: its for one, its in found if its is not None and its.until > now}
        read = self.read([one for one in products if one not in kept])
        remembered = {one: its.digest for one, its in kept.items()}
        return Offered({one: its.offer for one, its in kept.items()} | dict(read.offers), remembered, read.settled)

    def read(self, products: Collection[UUID]) -> Offered:
        """Of each product what its document says; remembered if it is known, or can be. Rows are read first."""
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
        """Whether each of these digests is what is known of its product."""
        states = self._relational.offers.get(remembered)
        return all(states.get(one, UNKNOWN).digest == digest for one, digest in remembered.items())

    def begin(self, product_id: UUID, version: int) -> None:
        """Before a product is changed from this version."""
        self._retry(lambda: self._write(lambda tx: tx.offers.begin(product_id, version)))

    def settle(self, product_id: UUID) -> None:
        """Make known what the document says, if that is for sure. Idempotent."""
        self._settle(self.read([product_id]).settled)

    def settle_written(self, product: Product) -> None:
        """After a write that began from the version before. Where this fails, orders and the write's event do it."""
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
        """The oldest goes first."""
        with self._guard:
            if len(self._kept) >= MOST:
                del self._kept[next(iter(self._kept))]
            self._kept[offer.product_id] = _Remembered(offer, digest, self._elapsed() + SECONDS)


def offer_of(product: Product) -> Offer:
    return Offer(product.id, product.version, product.title, product.seller_id, product.price)
