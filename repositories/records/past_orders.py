"""Builds past orders, for seeding and bulk loads."""

from datetime import datetime

from msgspec.structs import replace

from repositories.records.orders import Order, OrderLine, SubOrder, split

# Each change adds one: the payment, then the shipment or the refund; or the cancellation.
_VERSIONS: dict[str, int] = {"placed": 1, "paid": 2, "fulfilled": 3, "refunded": 3, "cancelled": 2}


def uniform(order: Order, *, paid_at: datetime | None = None) -> Order:
    """The order with sub-orders all in its state. `fulfilled`: all units are sent; `refunded`: all are returned."""
    lines = tuple(_line(order, line, number) for number, line in enumerate(order.lines, 1))
    parts = tuple(_part(order, part, paid_at) for part in split(lines))
    return replace(order, lines=lines, sub_orders=parts)


def _line(order: Order, line: OrderLine, number: int) -> OrderLine:
    sent, back = order.state == "fulfilled", order.state == "refunded"
    return replace(line, number=number, fulfilled=line.quantity * sent, returned=line.quantity * back)


def _part(order: Order, part: SubOrder, paid_at: datetime | None) -> SubOrder:
    last, cancelled = order.moved_at or order.created_at, order.state == "cancelled"
    return replace(
        part,
        state=order.state,
        version=_VERSIONS[order.state],
        refunded=part.total if order.state == "refunded" else 0,
        moved_at=order.moved_at,
        paid_at=None if cancelled or order.state == "placed" else paid_at or last,
        ended_at=last if cancelled else None,
    )
