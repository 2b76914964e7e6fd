"""Offers: digests of product documents, by which a server checks what it remembers without asking the documents.

A row holds the digest of the content that the product's document is known to have, or says that it is unknown. Every
write of the document first calls `begin` here, which makes the content unknown. A process that has read the row and
then the document may settle the row if the document's version is above `changing`. That is safe: a write that is still
to reach the document replaces this version or a later one, so it has not begun here yet, or has raised `changing`.
"""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct


class OfferState(Struct, frozen=True):
    """`changing` is the highest version that a begun write of the product replaces; 0 without a row.

    `digest` is that of the document's content, None if unknown.
    """

    changing: int = 0
    digest: bytes | None = None


class Settled(Struct, frozen=True):
    """The digest to store for a product. `changing` was read before the document was."""

    product_id: UUID
    changing: int
    digest: bytes


class OfferReads(Protocol):
    @abstractmethod
    def get(self, product_ids: Collection[UUID]) -> dict[UUID, OfferState]:
        """The offers of the products that have a row, in one round trip."""

    @abstractmethod
    def page(self, *, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Products that have a row, by ascending id, strictly above `after`."""

    @abstractmethod
    def begun(self, *, before: datetime, limit: int) -> Sequence[UUID]:
        """Products whose last write began before `before` and whose content is still unknown, longest ago first."""


class OfferWrites(Protocol):
    """Rows are locked by ascending id."""

    @abstractmethod
    def begin(self, product_id: UUID, version: int) -> None:
        """Mark the content as unknown. Must be committed before the document of this version is replaced."""

    @abstractmethod
    def settle(self, known: Collection[Settled]) -> None:
        """Store each digest, unless a write of a version above `changing` has begun. Idempotent."""

    @abstractmethod
    def close(self, product_id: UUID) -> None:
        """Mark the content as unknown and take the product out of `begun`: it is deleted."""

    @abstractmethod
    def forget(self, product_id: UUID) -> None:
        """Remove the row of a product. The caller ensures that no write of it is under way."""
