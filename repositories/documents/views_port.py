"""The port for the durable view counts of posts. Counts arrive in numbered batches, each delivered at least once."""

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Protocol
from uuid import UUID


class ViewStore(Protocol):
    @abstractmethod
    def apply(self, number: int, counts: Mapping[UUID, int]) -> None:
        """Add the counts of a batch, in one round trip. Idempotent per post: a post to which this batch or one with a
        higher number was applied stays unchanged. So a batch that was interrupted halfway can be applied again as a
        whole.
        """

    @abstractmethod
    def counts(self, post_ids: Collection[UUID]) -> dict[UUID, int]:
        """The view count of each post, in one round trip. Each of `post_ids` has an entry."""

    @abstractmethod
    def forget(self, post_id: UUID) -> None:
        """Remove the count of a deleted post. A batch with earlier views that is applied later stores a count again.
        Idempotent.
        """
