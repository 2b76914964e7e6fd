"""The heads of hash chains, as anchors store them."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class Head(Struct, frozen=True):
    """The head of a ledger account's chain of entries.

    `entries` counts them, `head` is the hash of the last one and `last_at` its time. `holds` and `holds_head` are count
    and last hash of the account's chain of holds; anchors of earlier versions lack them.
    """

    owner: UUID
    currency: str
    entries: int
    posted: int
    last_at: datetime
    head: bytes
    holds: int = 0
    holds_head: bytes = bytes(32)


class StockHead(Struct, frozen=True):
    """The head of a product's chain of stock receipts: how many `receipts` it has, and the last digest."""

    product_id: UUID
    receipts: int
    head: bytes


class PartsHead(Struct, frozen=True):
    """The head of the single chain over the heads of all orders' parts: its length and its last digest."""

    count: int = 0
    head: bytes = bytes(32)


NO_PARTS = PartsHead()
