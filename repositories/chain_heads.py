"""The ends of hash chains, as anchors have them."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class Head(Struct, frozen=True):
    """How far a ledger account has come: `head` is the last hash of its chain, `last_at` the time of its last entry.

    `holds` and `holds_head` are the same of its chain of holds. Anchors of earlier versions have none.
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
    """How often stock of a product was put: `head` is the last digest of the chain of its receipts."""

    product_id: UUID
    receipts: int
    head: bytes


class PartsHead(Struct, frozen=True):
    """How many heads of orders' parts are in the one chain of them all: `head` is its last digest."""

    count: int = 0
    head: bytes = bytes(32)


NO_PARTS = PartsHead()
