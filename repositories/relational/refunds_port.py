"""Refunds of sub-orders. The refunded amount is always the sum of the transfers of kind `REFUND`."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from repositories.records.graph import TimeCursor
from repositories.records.orders import Refund


class RefundReads(Protocol):
    @abstractmethod
    def get(self, refund_id: UUID) -> Refund | None: ...

    @abstractmethod
    def of_order(
        self, order_id: UUID, *, seller_id: UUID | None = None, before: TimeCursor | None, limit: int
    ) -> list[Refund]:
        """Refunds of the order, or of one seller. Newest first, ties by id descending; strictly older than `before`."""


class RefundWrites(Protocol):
    @abstractmethod
    def add(self, refund: Refund, back: Mapping[int, int] | None = None, *, refuses: bool = False) -> None:
        """Record a refund of a sub-order that is paid or further, after its transfer. `back` has the units returned to
        stock, by line number.

        One statement computes the sum of the sub-order's refund transfers and sets `refunded` to it. The sub-order
        becomes `refunded` when the sum reaches the total, else `fulfilled` when nothing is left to send. With `refuses`
        it must be paid and not sent, and becomes `refused`. Raises `Conflict('id')`, `IllegalMove`, `NotFound`, and
        `Capped` when the sum exceeds the total.
        """
