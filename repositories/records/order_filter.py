"""The filter of a list of orders."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class OrderFilter(Struct, frozen=True):
    """Conditions that must all hold; None matches everything.

    `state` is the order's in a buyer's list, the sub-order's in a seller's. `seller_id` is for a buyer's list only.
    Orders were placed at or after `since` and before `until`.
    """

    state: str | None = None
    currency: str | None = None
    seller_id: UUID | None = None
    product_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERY_ORDER = OrderFilter()
