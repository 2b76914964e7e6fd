"""Stock and orders. A command that fails has ended its transaction, which can then do nothing but roll back."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from repositories.money_records import Order, OrderMark, OrderState, Stock


class StockReads(Protocol):
    @abstractmethod
    def available(self, product_ids: Collection[UUID]) -> dict[UUID, int]:
        """Units of each product that are on hand and not reserved, in one round trip; 0 where none were ever put."""

    @abstractmethod
    def levels(self, product_ids: Collection[UUID]) -> dict[UUID, Stock]:
        """Products that never had stock are left out."""

    @abstractmethod
    def due_reservations(self, *, now: datetime, limit: int) -> list[UUID]:
        """Orders with a reservation neither committed nor released whose `expires_at` is not after `now`,
        longest due first, each once.
        """


class StockWrites(Protocol):
    """Products are locked in id order, after the order's reservations.

    `touched` are the products whose units this transaction has changed, or has tried to.
    """

    touched: set[UUID]

    @abstractmethod
    def put(self, product_id: UUID, on_hand: int, *, if_version: int | None = None) -> Stock:
        """Set the units on hand, reserved ones included; version 0 is that of a product without stock.

        Raises `Invalid` below 0 or beyond 64 bits, `Stale`, and `Short` when more than `on_hand` are reserved.
        """

    @abstractmethod
    def clear(self, product_id: UUID) -> None:
        """Leave on hand only what is reserved: for a product that is withdrawn. Idempotent."""

    @abstractmethod
    def reserve(self, order_id: UUID, units: Mapping[UUID, int], *, expires_at: datetime) -> None:
        """Reserve so many units of each product, one conditional update each, or none: raises `Short` naming the
        first product that has not enough. `Invalid` for a number below 1, `Conflict('id')` for an order that has
        reservations.
        """

    @abstractmethod
    def commit(self, order_id: UUID, *, at: datetime) -> dict[UUID, int]:
        """What was reserved is sold: it is no longer on hand. Also when due. Empty when nothing was reserved."""

    @abstractmethod
    def release(self, order_id: UUID) -> dict[UUID, int]:
        """What was reserved is free again. Returns it; empty when nothing was reserved. Idempotent."""

    @abstractmethod
    def return_sold(self, order_id: UUID, units: Mapping[UUID, int] | None = None) -> dict[UUID, int]:
        """Put sold units on hand again: these, or all that have not come back yet. Returns them.

        Raises `Invalid` for more than were sold and did not come back.
        """


class OrderReads(Protocol):
    """Orders come with all their lines, in the order in which these were written, in one round trip."""

    @abstractmethod
    def get(self, ids: Collection[UUID]) -> dict[UUID, Order]: ...

    @abstractmethod
    def of_buyer(self, buyer_id: UUID, *, before: OrderMark | None, limit: int) -> list[Order]:
        """Newest first, ties by id descending; strictly older than `before`."""

    @abstractmethod
    def of_seller(self, seller_id: UUID, *, before: OrderMark | None, limit: int) -> list[Order]:
        """Orders with a line of the seller, in the order of `of_buyer`. Other sellers' lines are in them too."""

    @abstractmethod
    def stuck(self, *, now: datetime, limit: int) -> list[Order]:
        """Orders whose `due_at` is not after `now`, longest due first: the relay finishes or undoes them."""


class OrderWrites(Protocol):
    @abstractmethod
    def add(self, order: Order) -> None:
        """A placed order. Raises `Conflict('id')`, and `Invalid` when the lines do not make the total."""

    @abstractmethod
    def lock(self, order_id: UUID) -> Order:
        """The order, which nobody else can change before this transaction ends. Raises `NotFound`."""

    @abstractmethod
    def move(
        self,
        order_id: UUID,
        from_states: Collection[OrderState],
        to_state: OrderState,
        *,
        at: datetime,
        due_at: datetime | None = None,
    ) -> Order:
        """Change the state if it is one of `from_states` and `ORDER_MOVES` allows it; else raise `IllegalMove`.

        Moving to `refunded` counts what was left as refunded. Raises `NotFound`.
        """

    @abstractmethod
    def refund(self, order_id: UUID, amount: int, *, at: datetime) -> Order:
        """Count a part of a paid or fulfilled order as refunded; the state stays.

        Raises `Capped` when more than the total would be refunded, `IllegalMove`, `Invalid` and `NotFound`.
        """


class BulkOrders(Protocol):
    @abstractmethod
    def orders(self, rows: Sequence[Order]) -> None:
        """Orders of the past in any state but `placed`, with their reservations, counted in the stock as received
        and sold. Their money is for `BulkLedger`. Orders that are there already are left as they are.
        """
