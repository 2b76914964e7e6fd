"""Payments: what came from the payment provider and what goes to it, in the ledger. And the sandbox's own list."""

from abc import abstractmethod
from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.payment_records import Payment
from repositories.records import TimeCursor


class PaymentReads(Protocol):
    """A deposit is a transfer, approved since it is there. A payout is a hold for the provider: `pending` while it is
    open, `approved` when it was posted, `declined` when it was voided.
    """

    @abstractmethod
    def get(self, references: Collection[UUID]) -> dict[UUID, Payment]: ...

    @abstractmethod
    def payouts(self, owner: UUID, *, before: TimeCursor | None, limit: int) -> list[Payment]:
        """Of one wallet, newest first, ties by id descending; strictly older than `before`."""

    @abstractmethod
    def between(self, since: datetime, until: datetime, *, after: TimeCursor | None, limit: int) -> list[Payment]:
        """Made from `since` on and before `until`, oldest first, ties by id; strictly later than `after`."""


class OpenPaymentWrites(Protocol):
    """Payments that were begun, and of which the provider has not said what became of them."""

    @abstractmethod
    def begin(self, owner: UUID, reference: UUID, at: datetime) -> None:
        """Idempotent. Raises `NotFound` where the account is gone, which it cannot be until the transaction ends."""

    @abstractmethod
    def end(self, owner: UUID, reference: UUID) -> None:
        """Idempotent."""

    @abstractmethod
    def forget(self, owner: UUID) -> int:
        """End all of them. Returns how many. Once the account is locked no more can come."""


class SandboxReads(Protocol):
    """What the sandbox was asked for, as a payment provider would keep it."""

    @abstractmethod
    def get(self, reference: UUID) -> Payment | None: ...

    @abstractmethod
    def between(self, since: datetime, until: datetime, *, after: TimeCursor | None, limit: int) -> list[Payment]:
        """As `PaymentReads.between`."""


class SandboxWrites(Protocol):
    @abstractmethod
    def add(self, payments: Collection[Payment]) -> int:
        """Keep those of which there is none with the same reference. Returns how many were new."""
