"""The records of stock and orders, and the moves between the states of a sub-order. Amounts are integer minor units."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from repositories.records.money import Money

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
