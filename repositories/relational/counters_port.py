"""Stored counters compared with the rows they count: followers, followees and likes."""

from abc import abstractmethod
from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from repositories.records.graph import GraphCounts


class CounterReads(Protocol):
    """Stored and true counts are read in one snapshot, so concurrent writes cause no false alarms."""

    @abstractmethod
    def miscounted_accounts(self, ids: Collection[UUID]) -> dict[UUID, tuple[GraphCounts | None, GraphCounts]]:
        """The accounts whose stored counts are wrong or missing (None), as (stored, true). One statement."""

    @abstractmethod
    def miscounted_posts(self, ids: Collection[UUID]) -> dict[UUID, tuple[int, int]]:
        """The posts whose stored count of likes is wrong, as (stored, true). One statement."""


class CounterWrites(Protocol):
    """Each method locks the counter before it counts. The lock is held until the transaction ends."""

    @abstractmethod
    def recount_account(self, account_id: UUID) -> None:
        """Raises `NotFound` for an unknown account."""

    @abstractmethod
    def recount_post(self, post_id: UUID) -> None: ...
