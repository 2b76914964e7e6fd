"""The records of money, stock and orders. Amounts are integer minor units, above 0 and within 64 bits."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from msgspec import Struct

from repositories.records import Money

# The owner of the payment provider's ledger accounts. Deposits debit them; only they may fall below 0.
PROVIDER = UUID("00000000-0000-8000-8000-000000000001")

# The kind of the transfers that refund an order.
REFUND = "refund"

UNWRITTEN = datetime(1970, 1, 1, tzinfo=UTC)

Phase = Literal["single", "hold", "post", "void", "expire"]
OrderState = Literal["placed", "paid", "fulfilled", "cancelled", "refunded"]
SubOrderState = Literal["placed", "paid", "partly_fulfilled", "fulfilled", "refused", "cancelled", "refunded"]

# The states from which a sub-order may enter each state (decision 23). An order's state follows from its sub-orders'.
SUB_ORDER_MOVES: dict[SubOrderState, tuple[SubOrderState, ...]] = {
    "placed": (),
    "paid": ("placed",),
    "partly_fulfilled": ("paid", "partly_fulfilled"),
    "fulfilled": ("paid", "partly_fulfilled"),
    "refused": ("placed", "paid"),
    "cancelled": ("placed",),
    "refunded": ("paid", "partly_fulfilled", "fulfilled"),
}


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


class Stock(Struct, frozen=True):
    """The stock of a product. `reserved` of the units on hand belong to placed orders.

    `version` rises with each change of `on_hand`: by one when it is set, by the units when they are sold or returned.
    """

    product_id: UUID
    on_hand: int
    reserved: int
    sold: int
    version: int

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


class OrderLine(Struct, frozen=True):
    """A line of an order, with title and price of the product at `product_version`.

    `number` counts the order's lines from 1. `fulfilled` units were sent, `returned` ones came back to stock.
    """

    product_id: UUID
    product_version: int
    title: str
    seller_id: UUID
    unit_price: int
    quantity: int
    number: int = 0
    fulfilled: int = 0
    returned: int = 0

    @property
    def unsent(self) -> int:
        """The units still to be sent. Units are returned from the unsent ones first."""
        return max(self.quantity - self.fulfilled - self.returned, 0)


class SubOrder(Struct, frozen=True):
    """One seller's part of an order: all lines of the seller, which share one state.

    `ended_at` is when it was cancelled or refused, `ended_by` the id of the command that did it, `reason` why
    it was refused.
    """

    seller_id: UUID
    total: int
    state: SubOrderState = "placed"
    version: int = 1
    refunded: int = 0
    moved_at: datetime | None = None
    paid_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: UUID | None = None
    reason: str | None = None


class Order(Struct, frozen=True):
    """An order of a buyer. `due_at` is when the relay settles it; None unless it is `placed`.

    A seller sees only the seller's own part; all fields then describe this part instead of the whole order.
    """

    id: UUID
    buyer_id: UUID
    total: Money
    lines: tuple[OrderLine, ...]
    created_at: datetime
    state: OrderState | SubOrderState = "placed"
    version: int = 1
    refunded: int = 0
    moved_at: datetime | None = None
    due_at: datetime | None = None
    sub_orders: tuple[SubOrder, ...] = ()

    def of(self, seller_id: UUID) -> "SubOrder | None":
        return next((part for part in self.sub_orders if part.seller_id == seller_id), None)


def split(lines: Iterable[OrderLine]) -> tuple[SubOrder, ...]:
    """The new sub-orders of these lines, in the order of the sellers' ids."""
    totals: dict[UUID, int] = {}
    for line in lines:
        totals[line.seller_id] = totals.get(line.seller_id, 0) + line.unit_price * line.quantity
    return tuple(SubOrder(seller, totals[seller]) for seller in sorted(totals))


class Shipment(Struct, frozen=True):
    """Units that a seller has sent: pairs of a line's number and units. `reference` is the carrier's, or empty."""

    id: UUID
    order_id: UUID
    seller_id: UUID
    reference: str
    created_at: datetime
    units: tuple[tuple[int, int], ...]


class OrderStep(Struct, frozen=True):
    """Something that happened to an order. `id` is that of the shipment or the refund, else of the order or a seller.

    `seller_id` is None for what happened to the order as a whole.
    """

    at: datetime
    id: UUID
    kind: Literal["placed", "paid", "shipped", "refused", "cancelled", "refunded"]
    seller_id: UUID | None = None


class Refund(Struct, frozen=True):
    """A seller's refund. `amount` is that of the transfer with the same id; a refund of 0 has no transfer.

    `restock`: the seller's units went back to stock with this refund; `units` is their number.
    """

    id: UUID
    order_id: UUID
    seller_id: UUID
    amount: Money
    reason: str
    restock: bool
    created_at: datetime
    units: int = 0


class RequestKey(Struct, frozen=True):
    """An idempotency key with its scope, which is the account, and the route with its method."""

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
    """Another request holds the claim, for at most `left`; None if that is not known."""

    left: timedelta | None = None


class Mismatch(Struct, frozen=True):
    """The key was used with another body."""


class Finding(Struct, frozen=True):
    """A problem that an audit found."""

    about: str
    problem: str
