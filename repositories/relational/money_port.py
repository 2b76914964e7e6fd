"""The ledger: double entry, append-only, with holds.

A ledger account is an owner and a currency. The first transfer that names it opens it; the caller checks that the
owner exists. Transfers and entries are immutable. The database refuses a transfer whose entries do not sum to zero,
an UPDATE or DELETE of these rows, and a balance below the sum of the holds.

A command that raises has aborted its transaction, which can only be rolled back. Lock order for commands that touch
several accounts, or stock as well: `lock` all accounts, then stock.

Times are the database's. The time of a transfer and its entries is taken when both accounts are locked, and is later
than the last entry of either. So an account's entries are in commit order with rising times, and both sides of a
transfer agree at every past moment. The only stored time that comes from a caller's clock is `expires_at`.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.records.chain_heads import NO_PARTS, Head, PartsHead, StockHead
from repositories.records.money import Balance, Entry, Finding, Posting, Transfer


class LedgerReads(Protocol):
    @abstractmethod
    def wallet(self, owner: UUID) -> list[Balance]:
        """The owner's balances in one snapshot, ordered by currency. Empty before the first transfer."""

    @abstractmethod
    def entries(
        self, owner: UUID, currency: str, *, before: int | None = None, until: datetime | None = None, limit: int
    ) -> list[Entry]:
        """Entries newest first, with a `sequence` below `before` and a time of `until` or earlier."""

    @abstractmethod
    def statement(
        self, owner: UUID, currency: str, *, since: datetime, until: datetime, after: int, limit: int
    ) -> list[Entry]:
        """Entries with `since` <= time < `until`, oldest first, with a `sequence` above `after`."""

    @abstractmethod
    def balance_at(self, owner: UUID, currency: str, at: datetime) -> int:
        """The posted balance including all entries up to and including `at`. Holds are not subtracted."""

    @abstractmethod
    def get(self, ids: Collection[UUID]) -> dict[UUID, Transfer]: ...

    @abstractmethod
    def due_holds(self, *, now: datetime, limit: int) -> list[Transfer]:
        """Open holds with `expires_at` <= `now`, oldest `expires_at` first."""


class LedgerWrites(Protocol):
    """Every command has an id chosen by the caller, and returns whether it was the first with this id: `Created` if so;
    else, having written nothing, `Exists` for the same content or `Differs`. Times are not part of the content.

    Raises `Invalid` for an amount that is not above 0 or not within 64 bits, a balance beyond 64 bits, or the same
    owner on both sides; `Conflict('id')` when the id of the command that should end an open hold is in use already.
    """

    @abstractmethod
    def lock(self, owners: Collection[UUID], currency: str) -> datetime:
        """Create the accounts that are missing and lock all of them, in a fixed order, until the transaction ends.

        Returns the database's time at which all were locked: transactions that lock one of them afterwards write later
        entries.
        """

    @abstractmethod
    def transfer(self, transfer: Transfer) -> Posting:
        """Post the transfer. Raises `Insufficient` when the debit account has less available."""

    @abstractmethod
    def hold(self, transfer: Transfer) -> Posting:
        """Reserve money of the debit account until `expires_at`. Raises `Insufficient`."""

    @abstractmethod
    def post(self, transfer_id: UUID, hold_id: UUID, *, amount: int | None = None, at: datetime) -> Posting:
        """Pay `amount` of the hold, or all of it, and free the rest.

        Raises `NotFound`, `Resolved`, and `Invalid` when the amount exceeds the hold. A hold with `expires_at` <= `at`
        raises `Resolved('expire')`, whether or not `expire` was called on it.
        """

    @abstractmethod
    def void(self, transfer_id: UUID, hold_id: UUID) -> Posting:
        """Free the hold's money, also after its `expires_at`. Raises `NotFound` and `Resolved`."""

    @abstractmethod
    def expire(self, transfer_id: UUID, hold_id: UUID, *, at: datetime) -> Posting:
        """Free the money of a hold with `expires_at` <= `at`. Raises `NotFound`, `Resolved`, and `Invalid` before
        that time.
        """

    @abstractmethod
    def wallet(self, owner: UUID) -> list[Balance]:
        """As `LedgerReads.wallet`."""

    @abstractmethod
    def open_holds(self, order_id: UUID) -> list[Transfer]:
        """The order's open holds, oldest first, ties by id."""


class BulkLedger(Protocol):
    @abstractmethod
    def transfers(self, rows: Sequence[Transfer]) -> None:
        """Post transfers of phase `single` in the order given; ids that exist are skipped. A transfer of kind
        `REFUND` is recorded as a refund that also returned the seller's units to stock.

        Times are kept, or raised to that of the account's last entry. Raises `Insufficient` when an account would fall
        below 0 at any point.
        """


class Audit(Protocol):
    """The checks of `quartet doctor`, each in one snapshot, so that concurrent traffic causes no false alarms.

    They use short statements and bounded memory.
    """

    @abstractmethod
    def ledger(self, anchored: Iterable[Head] = ()) -> Iterator[Finding]:
        """Recompute accounts, entries, transfers and holds from one another, with times, digests and hash chains.

        Also checks that the accounts of each currency sum to 0, and that the chains contain the heads `anchored`, which
        are ordered by owner.
        """

    @abstractmethod
    def advance(
        self, anchored: Iterable[Head], stocked: Iterable[StockHead] = (), parts: PartsHead = NO_PARTS
    ) -> Iterator[Head | StockHead | Finding]:
        """Recompute what was added after `anchored`, `stocked` and `parts`: entries, their transfers, the orders of
        these, receipts of stock, and orders that have moved without a transfer.

        Yields the present head of every account, ordered by owner, then that of every product's stock, ordered by
        product; the findings about each come before its head.
        """

    @abstractmethod
    def stock(self, stocked: Iterable[StockHead] = (), parts: PartsHead = NO_PARTS) -> Iterator[Finding]:
        """Compare orders and their lines with what was held, paid, refunded, reserved, sold and returned, and stock
        with reservations: received = on hand + sold, reserved = open reservations, sold = sold units minus returned
        ones. The chains of receipts must contain `stocked`, which is ordered by product, and the chain of orders' heads
        `parts`.
        """
