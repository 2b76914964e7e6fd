"""A second record of each ended session, kept until its expiry: the session store may lose its last writes."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.records.people import Ending


class EndingReads(Protocol):
    @abstractmethod
    def since(self, at: datetime, *, after: UUID | None = None, limit: int) -> Sequence[Ending]:
        """Endings noted at `at` or later, by time and then by id.

        `after`: the id of the last ending of the previous page, which was noted at `at`.
        """

    @abstractmethod
    def get(self, account_id: UUID, id_: UUID) -> Ending | None: ...


class EndingWrites(Protocol):
    @abstractmethod
    def add(self, ending: Ending) -> None: ...

    @abstractmethod
    def sweep(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` endings whose sessions would have expired by `before`. Returns how many."""
