"""Tamper evidence for orders: each sub-order has a hash chain over what was ordered and what happened to it.

The first head is a digest of what was ordered. Each step makes the next one: head = SHA-256(previous head + step).
The digest of a transfer of the order covers the head that the sub-order had at that time. Digests are stored for ever,
so what they are made of cannot change.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from repositories.records.orders import Order, SubOrder
from repositories.relational.money.digests import chain

# The heads of the sub-orders that a transaction has locked or added, by order and seller.
Heads = dict[tuple[UUID, UUID], bytes]


def opening(
    order_id: UUID, buyer_id: UUID, seller_id: UUID, currency: str, at: datetime, lines: Iterable[Any]
) -> bytes:
    """The first head. `lines` are the seller's, ordered by number."""
    ordered = [
        [line.number, line.product_id.hex, line.product_version, line.title, line.unit_price, line.quantity]
        for line in lines
    ]
    return _digest("placed", order_id.hex, buyer_id.hex, seller_id.hex, currency, _time(at), ordered)


def moved(to: str, at: datetime, by: UUID | None = None, reason: str | None = None) -> bytes:
    """The step of a sub-order that was paid, cancelled or refused."""
    return _digest(to, _time(at), by and by.hex, reason)


def shipped(shipment_id: UUID, reference: str, at: datetime, units: Iterable[tuple[int, int]]) -> bytes:
    """The step of a shipment. `units` are pairs of line number and units, ordered by number."""
    return _digest("shipped", shipment_id.hex, reference, _time(at), [list(pair) for pair in units])


def refunded(refund_id: UUID, reason: str, *, restock: bool, units: int, at: datetime) -> bytes:
    return _digest("refunded", refund_id.hex, reason, restock, units, _time(at))


def beginning(order: Order, part: SubOrder) -> bytes:
    """The head after the steps that the sub-order itself records: placed, then paid or ended."""
    own = [line for line in order.lines if line.seller_id == part.seller_id]
    head = opening(order.id, order.buyer_id, part.seller_id, order.total.currency, order.created_at, own)
    for step in stated(part):
        head = chain(head, step)
    return head


def stated(part: Any) -> Iterable[bytes]:
    """The step that the sub-order, a record or a row, itself records. A refusal after payment is part of its refund."""
    if part.paid_at is not None:
        yield moved("paid", part.paid_at)
    elif part.ended_at is not None:
        yield moved(part.state, part.ended_at, part.ended_by, part.reason)


def _digest(*said: Any) -> bytes:
    return hashlib.sha256(msgspec.json.encode(said)).digest()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
