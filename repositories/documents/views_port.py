"""How often posts were viewed, as the truth keeps it. It is fed in numbered batches, each at least once."""

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Protocol
from uuid import UUID


class ViewStore(Protocol):
    @abstractmethod
    def apply(self, number: int, counts: Mapping[UUID, int]) -> None:
        """Add a batch's counts, in one round trip. Idempotent for each post: a post that has had this batch, or one of
        a higher number, is left as it is. So a batch that was cut off half way is applied again, whole.
        """

    @abstractmethod
    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        """In one round trip. Every one of `post_ids` has an entry."""

    @abstractmethod
    def forget(self, post_id: UUID) -> None:
        """Of a deleted post. What is applied later, of views before, is kept again. Idempotent."""
