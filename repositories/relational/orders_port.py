"""Stock and orders. A command that raises has aborted its transaction, which can only be rolled back."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from repositories.records.chain_heads import PartsHead
from repositories.records.graph import TimeCursor
from repositories.records.order_filter import EVERY_ORDER, OrderFilter
from repositories.records.orders import Order, Stock

NO_OFFERS: Mapping[UUID, bytes] = {}
# The states that a placed sub-order can move to.
Outcome = Literal["paid", "cancelled", "refused"]


class StockReads(Protocol):
    @abstractmethod
    def available(self, product_ids: Collection[UUID]) -> dict[UUID, int]:
        """Units on hand minus reserved units of each product, in one round trip; 0 for a product without stock."""

    @abstractmethod
    def levels(self, product_ids: Collection[UUID]) -> dict[UUID, Stock]:
        """The stock of each product. Products that never had stock are left out."""

    @abstractmethod
    def due_reservations(self, *, now: datetime, limit: int) -> list[UUID]:
        """Orders with an open reservation whose `expires_at` <= `now`, oldest `expires_at` first, without repeats."""


class StockWrites(Protocol):
    """Lock order: the order's reservations, then the products by id.

    `touched` holds the products whose units this transaction has changed or tried to change.
    """

    touched: set[UUID]

    @abstractmethod
    def put(self, product_id: UUID, on_hand: int, *, if_version: int | None = None) -> Stock:
        """Set the units on hand, including reserved ones. A product without stock has version 0.

        Raises `Invalid` below 0 or beyond 64 bits, `Stale`, and `Short` when `on_hand` is below the reserved units.
        """

    @abstractmethod
    def clear(self, product_id: UUID) -> None:
        """Reduce the units on hand to the reserved ones, for a withdrawn product. Idempotent."""

    @abstractmethod
    def reserve(
        self,
        order_id: UUID,
        units: Mapping[UUID, int],
        *,
        expires_at: datetime,
        offers: Mapping[UUID, bytes] = NO_OFFERS,
    ) -> None:
        """Reserve units of all the products, or of none. One conditional update per product.

        Raises `Short` naming the first product with too few units, `Invalid` for a number below 1, `Conflict('id')`
        for an order that has reservations, and `Stale` when the known digest of a product in `offers` is missing or
        another one.
        """

    @abstractmethod
    def commit(self, order_id: UUID, *, at: datetime) -> dict[UUID, int]:
        """Turn the order's reservations into sales, also after `expires_at`.

        Returns the units per product; empty without reservations.
        """

    @abstractmethod
    def release(self, order_id: UUID, products: Collection[UUID] | None = None) -> dict[UUID, int]:
        """Delete the order's open reservations, or only those of `products`. Idempotent.

        Returns the freed units per product; empty without reservations.
        """

    @abstractmethod
    def return_sold(self, order_id: UUID, units: Mapping[UUID, int] | None = None) -> dict[UUID, int]:
        """Put sold units back into stock: `units`, or all not yet returned. Returns the units per product.

        Raises `Invalid` for more units than were sold and not yet returned.
        """


class OrderReads(Protocol):
    """Orders include all their lines, by number, and sub-orders, by seller id. One round trip per call."""

    @abstractmethod
    def get(self, ids: Collection[UUID]) -> dict[UUID, Order]: ...

    @abstractmethod
    def of_buyer(
        self, buyer_id: UUID, *, only: OrderFilter = EVERY_ORDER, before: TimeCursor | None, limit: int
    ) -> list[Order]:
        """Newest first, ties by id descending; strictly older than `before`."""

    @abstractmethod
    def of_seller(
        self, seller_id: UUID, *, only: OrderFilter = EVERY_ORDER, before: TimeCursor | None, limit: int
    ) -> list[Order]:
        """Orders with a line of the seller, ordered as `of_buyer`. They include other sellers' lines."""

    @abstractmethod
    def stuck(self, *, now: datetime, limit: int) -> list[Order]:
        """Orders with `due_at` <= `now`, oldest `due_at` first. The relay settles or cancels them."""


class OrderWrites(Protocol):
    @abstractmethod
    def add(self, order: Order) -> None:
        """Insert a placed order. Raises `Conflict('id')`, and `Invalid` when the lines do not sum to the totals."""

    @abstractmethod
    def lock(self, order_id: UUID) -> Order:
        """The order as it is now, locked until the transaction ends. Raises `NotFound`."""

    @abstractmethod
    def move(
        self,
        order_id: UUID,
        to: Outcome,
        *,
        at: datetime,
        seller_id: UUID | None = None,
        by: UUID | None = None,
        reason: str | None = None,
    ) -> Order:
        """Move the order's placed sub-orders to state `to`, or only that of `seller_id`.

        `by` is the id of the command that ends it. Shipments and refunds set the later states. Raises `NotFound`, and
        `IllegalMove` when no sub-order is placed.
        """

    @abstractmethod
    def unfinished_of(self, seller_id: UUID, *, limit: int) -> list[UUID]:
        """Orders in which the seller's sub-order is placed, paid or partly fulfilled."""

    @abstractmethod
    def note_heads(self, *, limit: int) -> tuple[int, PartsHead]:
        """Append to the chain of heads those of up to `limit` sub-orders that have moved since theirs was recorded.

        Locked sub-orders are skipped until the next call. Returns how many were recorded, and the head of the chain.
        Raises `Conflict` when a concurrent transaction has begun the chain.
        """


class BulkOrders(Protocol):
    @abstractmethod
    def orders(self, rows: Sequence[Order]) -> None:
        """Insert past orders in any state except `placed`, with their reservations. The units count as received and
        sold. `BulkLedger` loads their transfers. Orders that exist are skipped.
        """
