"""The filter of a list of orders."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class OrderChoice(Struct, frozen=True):
    """All that fit what is given. `state` is the order's for its buyer, else the sub-order's.

    `seller_id` is for a buyer's list alone. Placed from `since` on and before `until`.
    """

    state: str | None = None
    currency: str | None = None
    seller_id: UUID | None = None
    product_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERY_ORDER = OrderChoice()
