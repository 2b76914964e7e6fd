"""The sellers' parts of an order: units, money, and what an account may see of it."""

from collections import Counter
from uuid import UUID

from msgspec.structs import replace

from repositories.records.money import Money
from repositories.records.orders import Order, SubOrder


def sellers(order: Order) -> set[UUID]:
    return {line.seller_id for line in order.lines}


def shares(order: Order) -> Counter[UUID]:
    """The amount each seller is paid, in minor units."""
    found: Counter[UUID] = Counter()
    for line in order.lines:
        found[line.seller_id] += line.unit_price * line.quantity
    return found


def units(order: Order) -> Counter[UUID]:
    """Units per product, summed over the lines."""
    found: Counter[UUID] = Counter()
    for line in order.lines:
        found[line.product_id] += line.quantity
    return found


def by_product(order: Order, numbered: dict[int, int]) -> Counter[UUID]:
    """Units per product, from units by line number."""
    found: Counter[UUID] = Counter()
    for line in order.lines:
        if line.number in numbered:
            found[line.product_id] += numbered[line.number]
    return found


def part_of(order: Order, seller: UUID) -> SubOrder:
    """The sub-order of this seller, who must be one of the order's sellers."""
    return next(part for part in order.sub_orders if part.seller_id == seller)


def unsent(order: Order, seller: UUID) -> dict[int, int]:
    """Units of the seller's lines that are left to send, by line number."""
    return {line.number: line.unsent for line in order.lines if line.seller_id == seller and line.unsent}


def returnable(order: Order, seller: UUID) -> dict[int, int]:
    """Units that a refund may restock, by line number: those not sent or, if all were sent, those not yet restocked."""
    own = [line for line in order.lines if line.seller_id == seller]
    return unsent(order, seller) or {
        line.number: line.quantity - line.returned for line in own if line.quantity > line.returned
    }


def seen_by(account_id: UUID, order: Order) -> Order | None:
    """The whole order for its buyer, only their own part for a seller, None for anybody else."""
    if account_id == order.buyer_id:
        return order
    part = order.of(account_id)
    if part is None:
        return None
    return replace(
        order,
        total=Money(part.total, order.total.currency),
        lines=tuple(line for line in order.lines if line.seller_id == account_id),
        state=part.state,
        version=part.version,
        refunded=part.refunded,
        moved_at=part.moved_at,
        sub_orders=(part,),
    )
