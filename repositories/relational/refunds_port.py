"""Refunds of sub-orders. What was refunded is the sum of the transfers of kind `REFUND`, and nothing beside them."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from repositories.money_records import Refund
from repositories.records import TimeCursor


class RefundReads(Protocol):
    @abstractmethod
    def get(self, refund_id: UUID) -> Refund | None: ...

    @abstractmethod
    def of_order(
        self, order_id: UUID, *, seller_id: UUID | None = None, before: TimeCursor | None, limit: int
    ) -> list[Refund]:
        """Of the order, or of one of its sellers. Newest first, ties by id descending; strictly older than `before`."""


class RefundWrites(Protocol):
    @abstractmethod
    def add(self, refund: Refund, back: Mapping[int, int] | None = None, *, refuses: bool = False) -> None:
        """Record a refund of a sub-order that is paid or further, after its transfer, and the units that are `back`,
        by the number of their line.

        The sub-order's `refunded` is set to the sum of its refund transfers, by the statement that computes the sum.
        When that is the total, the sub-order is `refunded`; when nothing is left to send, `fulfilled`. One that
        `refuses` is of what is paid and not sent, which is `refused` then. Raises `Conflict('id')`, `IllegalMove`,
        `NotFound`, and `Capped` when the sum exceeds the total.
        """
