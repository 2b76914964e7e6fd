"""Shipments: what the sellers of an order have sent, a part of the units or all of them; and an order's history."""

from abc import abstractmethod
from typing import Protocol
from uuid import UUID

from repositories.money_records import OrderStep, Shipment
from repositories.records import TimeCursor


class ShipmentReads(Protocol):
    @abstractmethod
    def get(self, shipment_id: UUID) -> Shipment | None: ...

    @abstractmethod
    def of_order(
        self, order_id: UUID, *, seller_id: UUID | None = None, before: TimeCursor | None, limit: int
    ) -> list[Shipment]:
        """Of the order, or of one of its sellers. Newest first, ties by id descending; strictly older than `before`."""

    @abstractmethod
    def history(
        self, order_id: UUID, *, seller_id: UUID | None = None, after: TimeCursor | None, limit: int
    ) -> list[OrderStep]:
        """What happened to the order, or to it and one seller's part. Oldest first, ties by id; later than `after`."""


class ShipmentWrites(Protocol):
    @abstractmethod
    def add(self, shipment: Shipment) -> None:
        """Record what was sent, and count it on the lines. When nothing is left to send, the sub-order is `fulfilled`,
        before it `partly_fulfilled`.

        Raises `Conflict('id')`, `IllegalMove`, `NotFound`, and `Invalid` for no units, for a line that is not the
        seller's and for more units than are left to send.
        """
