"""The ledger: double entry, append-only, with holds.

A ledger account is an owner and a currency. The first transfer that names it opens it; the caller checks that the
owner exists. Transfers and entries are immutable. The database refuses a transfer whose entries do not sum to zero,
an UPDATE or DELETE of these rows, and a balance below the sum of the holds.

A command that raises has aborted its transaction, which can only be rolled back. Lock order for commands that touch
several accounts, or stock too: `lock` for all accounts, then stock.

Times are the database's. That of a transfer and its entries is taken when both accounts are locked, and is later than
the last entry of either. So the entries of an account are in commit order, their times rise, and what is true at a past
moment is true of both sides. A caller's clock decides nothing that is stored here but `expires_at`.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.chain_heads import NO_PARTS, Head, PartsHead, StockHead
from repositories.money_records import Balance, Entry, Finding, Posting, Transfer


class LedgerReads(Protocol):
    @abstractmethod
    def wallet(self, owner: UUID) -> list[Balance]:
        """The owner's balances in one snapshot, ordered by currency. Empty before the first transfer."""

    @abstractmethod
    def entries(
        self, owner: UUID, currency: str, *, before: int | None = None, until: datetime | None = None, limit: int
    ) -> list[Entry]:
        """Newest first, with a `sequence` below `before`, and not after `until`."""

    @abstractmethod
    def statement(
        self, owner: UUID, currency: str, *, since: datetime, until: datetime, after: int, limit: int
    ) -> list[Entry]:
        """Entries from `since` on and before `until`, oldest first, with a `sequence` above `after`."""

    @abstractmethod
    def balance_at(self, owner: UUID, currency: str, at: datetime) -> int:
        """The posted balance including all entries up to and including `at`. Holds are not subtracted."""

    @abstractmethod
    def get(self, ids: Collection[UUID]) -> dict[UUID, Transfer]: ...

    @abstractmethod
    def due_holds(self, *, now: datetime, limit: int) -> list[Transfer]:
        """Open holds with `expires_at` <= `now`, oldest `expires_at` first."""


class LedgerWrites(Protocol):
    """Every command has an id chosen by the caller, and says whether it was the first with this id: `Created`, or
    `Exists` or `Differs`, which have written nothing. Times are not part of the content. `Invalid`: an amount that is
    not above 0 or not within 64 bits, a balance beyond 64 bits, debit and credit of one owner. `Conflict('id')`: the
    id by which an open hold should end is that of something else.
    """

    @abstractmethod
    def lock(self, owners: Collection[UUID], currency: str) -> datetime:
        """Create the accounts that are missing and lock all of them, in a fixed order, until the transaction ends.

        Returns the database's time then: whoever locks one of them later writes entries that are later.
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
        """Post transfers of phase `single` in the order given; ids that exist are skipped. One of kind `REFUND` is
        recorded as a refund that brought the seller's units back.

        Their times are kept, or raised to that of the account's last entry. Raises `Insufficient` when an account would
        fall below 0 at any point.
        """


class Audit(Protocol):
    """The checks of `quartet doctor`, each in one snapshot: concurrent traffic causes no false alarms.

    Short statements, bounded memory.
    """

    @abstractmethod
    def ledger(self, anchored: Iterable[Head] = ()) -> Iterator[Finding]:
        """Recompute accounts, entries, transfers and holds from one another, with times, digests and hash chains.

        The accounts of each currency make 0 in all. The chains lead through `anchored`, which is ordered by owner.
        """

    @abstractmethod
    def advance(
        self, anchored: Iterable[Head], stocked: Iterable[StockHead] = (), parts: PartsHead = NO_PARTS
    ) -> Iterator[Head | StockHead | Finding]:
        """Recompute what came after `anchored`, `stocked` and `parts`: entries, their transfers, the orders of these,
        receipts of stock, and the orders that have moved without money.

        Gives the head of every account as it is by then, ordered by owner, then that of every product's stock, ordered
        by product, and before each what is wrong with it.
        """

    @abstractmethod
    def stock(self, stocked: Iterable[StockHead] = (), parts: PartsHead = NO_PARTS) -> Iterator[Finding]:
        """Hold orders with their lines against what was held, paid, refunded, reserved, sold and returned, and stock
        against reservations: received = on hand + sold, reserved = open ones, sold = sold ones minus returned units.
        The chains of receipts lead through `stocked`, which is ordered by product, that of orders' heads through
        `parts`.
        """
