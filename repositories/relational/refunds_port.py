"""Refunds of orders. What was refunded is the sum of the transfers of kind `REFUND`; nothing is kept beside them."""

from abc import abstractmethod
from typing import Protocol
from uuid import UUID

from repositories.money_records import OrderMark, Refund, Returned


class RefundReads(Protocol):
    @abstractmethod
    def get(self, refund_id: UUID) -> Refund | None: ...

    @abstractmethod
    def of_order(
        self, order_id: UUID, *, seller_id: UUID | None = None, before: OrderMark | None, limit: int
    ) -> list[Refund]:
        """Of the order, or of one of its sellers. Newest first, ties by id descending; strictly older than `before`."""


class RefundWrites(Protocol):
    @abstractmethod
    def returned(self, order_id: UUID, seller_id: UUID) -> Returned:
        """Final until the transaction ends if the order is locked."""

    @abstractmethod
    def add(self, refund: Refund) -> None:
        """Record a refund of a paid or fulfilled order, after its transfer.

        The order's `refunded` is set to the sum of its refund transfers, by the statement that computes the sum. When
        it is the total, the order is `refunded`. Raises `Conflict('id')`, `IllegalMove`, `NotFound`, and `Capped` when
        the sum exceeds the total.
        """
