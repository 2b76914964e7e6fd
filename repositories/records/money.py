"""The records of the ledger. Amounts are integer minor units, above 0 and within 64 bits."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

# The owner of the payment provider's ledger accounts. Deposits debit them; only they may fall below 0.
PROVIDER = UUID("00000000-0000-8000-8000-000000000001")

# The kind of the transfers that refund an order.
REFUND = "refund"

UNWRITTEN = datetime(1970, 1, 1, tzinfo=UTC)

Phase = Literal["single", "hold", "post", "void", "expire"]


class Money(Struct, frozen=True):
    amount: int
    currency: str


class Transfer(Struct, frozen=True):
    """A transfer from `debit` to `credit`, two owners of ledger accounts. Immutable once written.

    `created_at` is the database's time: the ledger sets it when it writes the transfer. Both sides see `memo`, only the
    sender sees `reference`.
    Phases: `single` and `post` move money, `hold` reserves it, and `post`, `void` and `expire` end the hold `hold_id`.
    """

    id: UUID
    kind: str
    debit: UUID
    credit: UUID
    amount: Money
    created_at: datetime = UNWRITTEN
    order_id: UUID | None = None
    phase: Phase = "single"
    hold_id: UUID | None = None
    expires_at: datetime | None = None
    memo: str | None = None
    reference: str | None = None


class Created(Struct, frozen=True):
    """The transfer was written by this command."""

    transfer: Transfer


class Exists(Struct, frozen=True):
    """Nothing was written: there is a transfer with this id and this content."""

    transfer: Transfer


class Differs(Struct, frozen=True):
    """Nothing was written: there is a transfer with this id and other content. `field` is the first that differs."""

    transfer: Transfer
    field: str


Posting = Created | Exists | Differs


class Balance(Struct, frozen=True):
    """The balance of a ledger account: `posted` is owned, `held` of it is reserved."""

    currency: str
    posted: int = 0
    held: int = 0

    @property
    def available(self) -> int:
        return self.posted - self.held


class Entry(Struct, frozen=True):
    """One side of a transfer. `amount` is below 0 for a debit; `balance` is the posted balance right after.

    `sequence` numbers an account's entries from 1 without gaps. `at` is the transfer's time and rises with `sequence`;
    entries of a bulk load may share one time.
    """

    sequence: int
    transfer_id: UUID
    kind: str
    other: UUID
    order_id: UUID | None
    amount: int
    balance: int
    at: datetime
    memo: str | None = None
    reference: str | None = None


class Finding(Struct, frozen=True):
    """A problem that an audit found."""

    about: str
    problem: str
