"""View counts before they reach the documents: buffered beside the cache, taken in batches (pattern: write-back)."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.store import Store


class ViewBatch(Struct, frozen=True):
    """`number` rises from batch to batch, even if the store loses everything in between."""

    number: int
    counts: Mapping[UUID, int]


class ViewCounts(Store, Protocol):
    """Counts that may be lost: the store has no persistence, so it may lose what was added since the last `take`.

    A taken batch is handed out again, unchanged, until it is `done`. So the caller has to store, for each post, the
    number of the last batch applied, and skip batches that are not above it. Then neither a crash between `take` and
    `done` nor two concurrent takers count anything twice. Every method may raise `Unavailable`.
    """

    @abstractmethod
    def add(self, counts: Mapping[UUID, int]) -> None:
        """Add this many views to each post. One round trip. If it raises, the views may or may not have been added."""

    @abstractmethod
    def take(self, limit: int) -> ViewBatch | None:
        """The batch that is not done yet; else a new one of at most `limit` posts; None if there are no views."""

    @abstractmethod
    def done(self, number: int) -> None:
        """Remove this batch, which has been applied. Idempotent; other batches are left."""
