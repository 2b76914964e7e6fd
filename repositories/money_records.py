"""The records of money, stock and orders. Amounts are integer minor units, above 0 and within 64 bits."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from repositories.records import Money

# The ledger's other side: deposits come from it and pay-outs go to it. Only it may go below 0.
PROVIDER = UUID("00000000-0000-8000-8000-000000000001")

Phase = Literal["single", "hold", "post", "void", "expire"]
OrderState = Literal["placed", "paid", "fulfilled", "cancelled", "refunded"]

ORDER_MOVES: dict[OrderState, frozenset[OrderState]] = {
    "placed": frozenset({"paid", "cancelled"}),
    "paid": frozenset({"fulfilled", "refunded"}),
    "fulfilled": frozenset({"refunded"}),
    "cancelled": frozenset(),
    "refunded": frozenset(),
}


class Transfer(Struct, frozen=True):
    """Money on its way from `debit` to `credit`, both owners of ledger accounts. Never changed once written.

    `single` and `post` move money, `hold` sets it aside, and `post`, `void` and `expire` end the hold `hold_id`.
    """

    id: UUID
    kind: str
    debit: UUID
    credit: UUID
    amount: Money
    created_at: datetime
    order_id: UUID | None = None
    phase: Phase = "single"
    hold_id: UUID | None = None
    expires_at: datetime | None = None


class Balance(Struct, frozen=True):
    """`posted` is owned, `held` of it is set aside."""

    currency: str
    posted: int = 0
    held: int = 0

    @property
    def available(self) -> int:
        return self.posted - self.held


class Entry(Struct, frozen=True):
    """One leg of a transfer: `amount` is below 0 for money that left, `balance` is what was owned right after.

    `sequence` counts an account's entries from 1 without gaps; `at` never goes back from one to the next.
    """

    sequence: int
    transfer_id: UUID
    kind: str
    other: UUID
    order_id: UUID | None
    amount: int
    balance: int
    at: datetime


class Stock(Struct, frozen=True):
    """`reserved` of the units on hand are promised to orders. `version` counts the changes of `on_hand`."""

    product_id: UUID
    on_hand: int
    reserved: int
    sold: int
    version: int

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


class OrderLine(Struct, frozen=True):
    """What was bought, as it was in the catalogue at `product_version`."""

    product_id: UUID
    product_version: int
    title: str
    seller_id: UUID
    unit_price: int
    quantity: int


class Order(Struct, frozen=True):
    """`due_at` is when the relay looks after it, unless somebody has finished it before."""

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


class OrderMark(Struct, frozen=True):
    """A place in a list of orders."""

    created_at: datetime
    id: UUID


class RequestKey(Struct, frozen=True):
    """What an idempotency key is unique in: the account, and the route with its method."""

    account_id: UUID
    route: str
    key: str


class Answer(Struct, frozen=True):
    """A stored answer, replayed byte by byte."""

    status: int
    headers: dict[str, str]
    body: bytes


class Granted(Struct, frozen=True):
    """The work is the claimer's. `taken_over` when an earlier claimer let its lease pass."""

    lease: UUID
    taken_over: bool = False


class InFlight(Struct, frozen=True):
    """Somebody else is at it, until `until` at most when that is known."""

    until: datetime | None = None


class Mismatch(Struct, frozen=True):
    """The key was used with another body."""


class Finding(Struct, frozen=True):
    """Something that an audit found wrong."""

    about: str
    problem: str
