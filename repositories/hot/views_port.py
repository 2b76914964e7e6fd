"""View counts on their way to the truth: write-back, buffered beside the cache and handed over in batches."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.store import Store


class ViewBatch(Struct, frozen=True):
    """`number` rises from batch to batch, also when the store has lost everything in between."""

    number: int
    counts: Mapping[UUID, int]


class ViewCounts(Store, Protocol):
    """Counts that may be lost: what was added since the last `take` goes with the store, which has no persistence.

    A batch that was taken is handed out again, the same, until it is `done`. So who applies it must know the last
    number it has applied to each post, and apply no batch that is not above it: then a crash between `take` and
    `done`, or two who take at once, count nothing twice. Every method may raise `Unavailable`.
    """

    @abstractmethod
    def add(self, counts: Mapping[UUID, int]) -> None:
        """So many views more of each. One round trip. Of a call that raises it is unknown whether it counted."""

    @abstractmethod
    def take(self, limit: int) -> ViewBatch | None:
        """The batch that is not done yet; else a new one of at most `limit` posts; None when nothing was viewed."""

    @abstractmethod
    def done(self, number: int) -> None:
        """The batch has been applied and is forgotten. Idempotent; others' batches are left."""
