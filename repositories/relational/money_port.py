"""The ledger: double entry, append-only, with holds.

A ledger account is an owner and a currency, and is opened by the first transfer that names it; whether the
owner is somebody is for the caller to know. Transfers and entries are never changed. The database itself refuses
a transfer whose entries do not sum to zero, a changed or removed row, and a balance below what is held.

A command that fails has ended its transaction, which can then do nothing but roll back. Commands that touch
several accounts, or stock too, take locks in one order: stock first, then `lock` for all the accounts.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.money_records import Balance, Entry, Finding, Transfer


class LedgerReads(Protocol):
    @abstractmethod
    def wallet(self, owner: UUID) -> list[Balance]:
        """The owner's balances in one moment, by currency in alphabetical order. Empty before the first transfer."""

    @abstractmethod
    def entries(
        self, owner: UUID, currency: str, *, before: int | None = None, until: datetime | None = None, limit: int
    ) -> list[Entry]:
        """Newest first, with a `sequence` below `before`, and not after `until`."""

    @abstractmethod
    def balance_at(self, owner: UUID, currency: str, at: datetime) -> int:
        """What was owned once everything up to and including `at` was posted. Holds do not count."""

    @abstractmethod
    def get(self, ids: Collection[UUID]) -> dict[UUID, Transfer]: ...

    @abstractmethod
    def of_order(self, order_id: UUID) -> list[Transfer]:
        """Every transfer that names the order, oldest first."""

    @abstractmethod
    def due_holds(self, *, now: datetime, limit: int) -> list[Transfer]:
        """Holds that have not ended and whose `expires_at` is not after `now`, longest due first."""


class LedgerWrites(Protocol):
    """Every command has an id made by the client. The same id again with the same content changes nothing and
    returns the transfer first written; its times, which may differ, are not content. With other content it raises
    `Conflict` naming the first field that differs. Amounts that are not above 0 and within 64 bits, balances
    beyond 64 bits, and money sent to its owner raise `Invalid`.
    """

    @abstractmethod
    def lock(self, owners: Collection[UUID], currency: str) -> None:
        """Open the accounts that are not there and lock them all, in one order, until the transaction ends."""

    @abstractmethod
    def transfer(self, transfer: Transfer) -> Transfer:
        """Move money at once. Raises `Insufficient` when the debit account has not that much available."""

    @abstractmethod
    def hold(self, transfer: Transfer) -> Transfer:
        """Set money of the debit account aside until `expires_at`. Raises `Insufficient`."""

    @abstractmethod
    def post(self, transfer_id: UUID, hold_id: UUID, *, amount: int | None = None, at: datetime) -> Transfer:
        """Pay `amount` of the hold, or all of it; the rest is free again.

        Raises `NotFound`, `Resolved`, and `Invalid` when the amount is above the hold's. A hold whose `expires_at`
        is not after `at` raises `Resolved('expire')`, whether or not `expire` was called on it.
        """

    @abstractmethod
    def void(self, transfer_id: UUID, hold_id: UUID, *, at: datetime) -> Transfer:
        """Free the hold's money, also when it is due. Raises `NotFound` and `Resolved`."""

    @abstractmethod
    def expire(self, transfer_id: UUID, hold_id: UUID, *, at: datetime) -> Transfer:
        """Free the money of a hold whose `expires_at` is not after `at`. Raises `NotFound`, `Resolved`, and
        `Invalid` when it is too early.
        """

    @abstractmethod
    def open_holds(self, order_id: UUID) -> list[Transfer]:
        """The order's holds that have not ended, oldest first, ties by id."""


class BulkLedger(Protocol):
    @abstractmethod
    def transfers(self, rows: Sequence[Transfer]) -> None:
        """Single transfers, posted in the order given; ids that are there already are left out.

        Raises `Insufficient` when an account would be below 0 at any point.
        """


class Audit(Protocol):
    """What `quartet doctor` reads. Runs beside ordinary traffic, in short statements, without false alarms."""

    @abstractmethod
    def ledger(self) -> Iterator[Finding]:
        """Recompute balances, running balances, holds, digests and the hash chain of each account from the rows."""

    @abstractmethod
    def stock(self) -> Iterator[Finding]:
        """Compare stock with reservations and orders: received = on hand + sold, reserved = open reservations,
        sold = sold reservations less what came back, and lines of live orders = their reservations.
        """
