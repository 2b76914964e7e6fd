"""Shipments, by which a seller sends some or all units of a sub-order, and the history of an order."""

from abc import abstractmethod
from typing import Protocol
from uuid import UUID

from repositories.records.graph import TimeCursor
from repositories.records.orders import OrderStep, Shipment


class ShipmentReads(Protocol):
    @abstractmethod
    def get(self, shipment_id: UUID) -> Shipment | None: ...

    @abstractmethod
    def of_order(
        self, order_id: UUID, *, seller_id: UUID | None = None, before: TimeCursor | None, limit: int
    ) -> list[Shipment]:
        """Shipments of the order or one seller. Newest first, ties by id descending; strictly older than `before`."""

    @abstractmethod
    def history(
        self, order_id: UUID, *, seller_id: UUID | None = None, after: TimeCursor | None, limit: int
    ) -> list[OrderStep]:
        """Steps of the order and of its sub-orders; with `seller_id`, of the order and of that seller's sub-order only.

        Oldest first, ties by id; later than `after`.
        """


class ShipmentWrites(Protocol):
    @abstractmethod
    def add(self, shipment: Shipment) -> None:
        """Record a shipment and count its units on the order lines. The sub-order becomes `partly_fulfilled`, or
        `fulfilled` when nothing is left to send.

        Raises `Conflict('id')`, `IllegalMove`, `NotFound`, and `Invalid` for no units, for a line of another seller and
        for more units than are left to send.
        """
