"""Offers: what a server may take for a product without asking the documents.

A row says of which content the product's document is for sure, by a digest, or that this is not known. A write of the
document begins here, and what is known of it before is void from then on. Whoever has read the row first and the
document after it may settle the row, if the document's version is above `changing`: each write that is still to come
to the document replaces this version or a later one, so it has yet to begin here, or has raised `changing`.
"""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct


class OfferState(Struct, frozen=True):
    """`changing` is the highest version from which a write of the product has begun; 0 of one that has no row.

    `digest` is that of the document's content, None where it is not known.
    """

    changing: int = 0
    digest: bytes | None = None


class Settled(Struct, frozen=True):
    """What is to be known of a product, of which `changing` was read before its document."""

    product_id: UUID
    changing: int
    digest: bytes


class OfferReads(Protocol):
    @abstractmethod
    def get(self, product_ids: Collection[UUID]) -> dict[UUID, OfferState]:
        """Of those that have a row, in one round trip."""

    @abstractmethod
    def page(self, *, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Products that have a row, by ascending id, strictly above `after`."""

    @abstractmethod
    def begun(self, *, before: datetime, limit: int) -> Sequence[UUID]:
        """Products of which a write has begun before that moment and nothing is known since, longest ago first."""


class OfferWrites(Protocol):
    """Rows are locked by ascending id."""

    @abstractmethod
    def begin(self, product_id: UUID, version: int) -> None:
        """Before the document is changed from this version: nothing is known of the product. Committed first."""

    @abstractmethod
    def settle(self, known: Collection[Settled]) -> None:
        """Of each, unless a write has begun from a higher version than `changing`. Idempotent."""

    @abstractmethod
    def close(self, product_id: UUID) -> None:
        """Nothing is known, and nobody waits for it: the product is gone."""

    @abstractmethod
    def forget(self, product_id: UUID) -> None:
        """Remove the row of a product that nobody is changing."""
