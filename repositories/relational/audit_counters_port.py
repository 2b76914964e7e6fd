"""Kept counts against the rows they count: followers, followees and likes."""

from abc import abstractmethod
from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from repositories.records import GraphCounts


class CounterReads(Protocol):
    """Kept and true counts are seen at one moment, so traffic makes no false alarms."""

    @abstractmethod
    def miscounted_accounts(self, ids: Collection[UUID]) -> dict[UUID, tuple[GraphCounts | None, GraphCounts]]:
        """Those of these accounts whose kept counts are wrong, or not there (None): (kept, true). In one statement."""

    @abstractmethod
    def miscounted_posts(self, ids: Collection[UUID]) -> dict[UUID, tuple[int, int]]:
        """Those of these posts whose count of likes is wrong: (kept, true). In one statement."""


class CounterWrites(Protocol):
    """Each holds the counter's lock from before it counts until the transaction ends."""

    @abstractmethod
    def recount_account(self, account_id: UUID) -> None:
        """Raises `NotFound` for an unknown account."""

    @abstractmethod
    def recount_post(self, post_id: UUID) -> None: ...
