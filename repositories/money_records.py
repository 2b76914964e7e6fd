"""The records of money, stock and orders. Amounts are integer minor units, above 0 and within 64 bits."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from repositories.records import Money

# The owner of the payment provider's ledger accounts. Deposits debit them; only they may fall below 0.
PROVIDER = UUID("00000000-0000-8000-8000-000000000001")

# The kind of the transfers by which a seller gives money of an order back.
REFUND = "refund"

UNWRITTEN = datetime(1970, 1, 1, tzinfo=UTC)

Phase = Literal["single", "hold", "post", "void", "expire"]
OrderState = Literal["placed", "paid", "fulfilled", "cancelled", "refunded"]

# An order becomes `refunded` by its refunds alone.
ORDER_MOVES: dict[OrderState, frozenset[OrderState]] = {
    "placed": frozenset({"paid", "cancelled"}),
    "paid": frozenset({"fulfilled"}),
    "fulfilled": frozenset(),
    "cancelled": frozenset(),
    "refunded": frozenset(),
}


class Transfer(Struct, frozen=True):
    """A transfer from `debit` to `credit`, two owners of ledger accounts. Immutable once written.

    `created_at` is the database's time: the ledger sets it when it writes the transfer. `memo` is for both sides,
    `reference` for the sender alone.
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
    """`posted` is owned, `held` of it is reserved."""

    currency: str
    posted: int = 0
    held: int = 0

    @property
    def available(self) -> int:
        return self.posted - self.held


class Entry(Struct, frozen=True):
    """One side of a transfer. `amount` is below 0 for a debit; `balance` is the posted balance right after.

    `sequence` numbers an account's entries from 1 without gaps. `at` is the transfer's time and rises with it; among
    entries of a bulk load it may stand still.
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


class Head(Struct, frozen=True):
    """How far a ledger account has come: `head` is the last hash of its chain, `last_at` the time of its last entry."""

    owner: UUID
    currency: str
    entries: int
    posted: int
    last_at: datetime
    head: bytes


class Stock(Struct, frozen=True):
    """`reserved` of the units on hand belong to placed orders. `version` counts the changes of `on_hand`."""

    product_id: UUID
    on_hand: int
    reserved: int
    sold: int
    version: int

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


class OrderLine(Struct, frozen=True):
    """A line of an order, with title and price of the product at `product_version`."""

    product_id: UUID
    product_version: int
    title: str
    seller_id: UUID
    unit_price: int
    quantity: int


class Order(Struct, frozen=True):
    """`due_at` is when the relay settles the order; None when it is not `placed`."""

    id: UUID
    buyer_id: UUID
    total: Money
    lines: tuple[OrderLine, ...]
    created_at: datetime
    state: OrderState = "placed"
    version: int = 1
    refunded: int = 0
    moved_at: datetime | None = None
    due_at: datetime | None = None


class Refund(Struct, frozen=True):
    """What a seller gave back of an order. `amount` is that of the transfer with the same id; a refund of 0 has none.

    `restock`: the seller's units came back to stock with it.
    """

    id: UUID
    order_id: UUID
    seller_id: UUID
    amount: Money
    reason: str
    restock: bool
    created_at: datetime


class Returned(Struct, frozen=True):
    """What a seller has given back of an order so far: the sum of the transfers, and whether the units are back."""

    amount: int
    restocked: bool


class OrderMark(Struct, frozen=True):
    """A position in a list of orders, or of an order's refunds."""

    created_at: datetime
    id: UUID


class RequestKey(Struct, frozen=True):
    """The scope of an idempotency key is the account and the route with its method."""

    account_id: UUID
    route: str
    key: str


class Answer(Struct, frozen=True):
    """A stored answer, replayed byte by byte."""

    status: int
    headers: dict[str, str]
    body: bytes


class Granted(Struct, frozen=True):
    """The claim is granted. `taken_over`: an earlier claim's lease had ended."""

    lease: UUID
    taken_over: bool = False


class InFlight(Struct, frozen=True):
    """Another request holds the claim, until `until` at most; None when that is not known."""

    until: datetime | None = None


class Mismatch(Struct, frozen=True):
    """The key was used with another body."""


class Finding(Struct, frozen=True):
    """A problem that an audit found."""

    about: str
    problem: str
