"""What of an order is whose: units, money, and what an account may see of it."""

from collections import Counter
from uuid import UUID

from msgspec.structs import replace

from repositories.money_records import Order, SubOrder
from repositories.records import Money


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
    """Units per product, of units by the number of their line."""
    found: Counter[UUID] = Counter()
    for line in order.lines:
        if line.number in numbered:
            found[line.product_id] += numbered[line.number]
    return found


def part_of(order: Order, seller: UUID) -> SubOrder:
    """Of a seller who is known to be one of the order's."""
    return next(part for part in order.sub_orders if part.seller_id == seller)


def unsent(order: Order, seller: UUID) -> dict[int, int]:
    """Units of the seller's lines that are left to send, by the number of their line."""
    return {line.number: line.unsent for line in order.lines if line.seller_id == seller and line.unsent}


def returnable(order: Order, seller: UUID) -> dict[int, int]:
    """Units by the number of their line: what was not sent; where nothing is left to send, all that is not back."""
    own = [line for line in order.lines if line.seller_id == seller]
    return unsent(order, seller) or {
        line.number: line.quantity - line.returned for line in own if line.quantity > line.returned
    }


def seen_by(account_id: UUID, order: Order) -> Order | None:
    """All of it for its buyer; for a seller what is that seller's, and nothing of the others. None for anybody else."""
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
