"""Payments from and to the payment provider, as the ledger has them, and the sandbox provider's own list."""

from abc import abstractmethod
from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.records.graph import TimeCursor
from repositories.records.payments import Payment


class PaymentReads(Protocol):
    """A deposit is a transfer, `approved` as soon as it exists. A payout is a hold in favour of the provider: `pending`
    while it is open, `approved` when it was posted, `declined` when it was voided.
    """

    @abstractmethod
    def get(self, references: Collection[UUID]) -> dict[UUID, Payment]: ...

    @abstractmethod
    def payouts(self, owner: UUID, *, before: TimeCursor | None, limit: int) -> list[Payment]:
        """Payouts of one wallet, newest first, ties by id descending; strictly older than `before`."""

    @abstractmethod
    def between(self, since: datetime, until: datetime, *, after: TimeCursor | None, limit: int) -> list[Payment]:
        """Payments with `since` <= time < `until`, oldest first, ties by id; strictly later than `after`."""


class OpenPaymentWrites(Protocol):
    """Payments that were begun and whose outcome the provider has not reported yet."""

    @abstractmethod
    def begin(self, owner: UUID, reference: UUID, at: datetime) -> None:
        """Record an open payment. Idempotent. Raises `NotFound` when the account is deleted.

        Keeps the account from being deleted until the transaction ends.
        """

    @abstractmethod
    def end(self, owner: UUID, reference: UUID) -> None:
        """Remove an open payment. Idempotent."""

    @abstractmethod
    def forget(self, owner: UUID) -> int:
        """Remove all open payments of the account. Returns how many. With the account locked, none can be added."""


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
        """Store payments whose reference is new. Returns how many were."""
