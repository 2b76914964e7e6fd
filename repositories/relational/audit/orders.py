"""Compares every order with its lines, sub-orders, reservations, shipments, refunds and transfers.

All are read side by side, ordered by the order's id, so rows that belong to no order are found too.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, exists, select

from repositories.records.money import REFUND, Finding
from repositories.relational.audit.sub_orders import Part, is_of
from repositories.relational.audit.walking import Walk, walk
from repositories.relational.schema.columns import IDS
from repositories.relational.schema.functions import among
from repositories.relational.schema.money_tables import reservations, transfers
from repositories.relational.schema.order_tables import (
    order_heads,
    order_lines,
    orders,
    refunds,
    shipment_lines,
    shipments,
    sub_orders,
)
from repositories.relational.schema.tables import stock
from repositories.relational.statement_runner import AnyRow, Runner

# How soon a placed order is due, and how long it may wait. A test compares both with the service's values.
GRACE, PATIENCE = timedelta(seconds=2), timedelta(minutes=15)
# How the holds of an unpaid sub-order may have ended, by its state.
_ENDS: dict[str, set[str | None]] = {
    "placed": {None},
    "cancelled": {"void", "expire"},
    "refused": {"void", "expire"},
}
# The state of an order by that of its least advanced sub-order.
_BEHIND = {"placed": "placed", "paid": "paid", "partly_fulfilled": "paid", "fulfilled": "fulfilled"}


def _of(whole: Walk) -> Select[Any]:
    """The same statement for some orders only, also ordered by their ids."""
    order_id = whole.columns[0]
    return whole.statement.where(among(order_id, bindparam("ids", type_=IDS))).order_by(*whole.columns)


_WALKS = {
    "orders": walk(select(orders, orders.c.id.label("order_id")), orders.c.id),
    "lines": walk(select(order_lines), order_lines.c.order_id, order_lines.c.number),
    "sub-orders": walk(select(sub_orders), sub_orders.c.order_id, sub_orders.c.seller_id),
    "shipments": walk(select(shipments), shipments.c.order_id, shipments.c.created_at, shipments.c.id),
    "sent lines": walk(
        select(shipment_lines, shipments.c.order_id, shipments.c.created_at, shipments.c.seller_id).join(
            shipments, shipments.c.id == shipment_lines.c.shipment_id
        ),
        shipments.c.order_id,
        shipments.c.created_at,
        shipment_lines.c.shipment_id,
        shipment_lines.c.number,
    ),
    "reservations": walk(
        select(reservations, exists().where(stock.c.product_id == reservations.c.product_id).label("stocked")),
        reservations.c.order_id,
        reservations.c.product_id,
    ),
    "refunds": walk(select(refunds), refunds.c.order_id, refunds.c.created_at, refunds.c.id),
    "transfers": walk(
        select(transfers).where(transfers.c.order_id.is_not(None)),
        transfers.c.order_id,
        transfers.c.created_at,
        transfers.c.id,
    ),
    "noted heads": walk(select(order_heads), order_heads.c.order_id, order_heads.c.number),
}
_SOME = {name: _of(one) for name, one in _WALKS.items()}
_STRAY = walk(
    select(shipment_lines).where(~exists().where(shipments.c.id == shipment_lines.c.shipment_id)),
    shipment_lines.c.shipment_id,
    shipment_lines.c.number,
)


def audit_orders(runner: Runner) -> Iterator[Finding]:
    yield from _findings([_named(name, one.rows(runner)) for name, one in _WALKS.items()])
    for row in _STRAY.rows(runner):
        yield Finding(f"line {row.number} of shipment {row.shipment_id}", "its shipment is missing")


def audit_some_orders(runner: Runner, ids: Collection[UUID]) -> Iterator[Finding]:
    wanted = {"ids": list(ids)}
    return _findings([_named(name, iter(runner.rows(one, wanted))) for name, one in _SOME.items()])


def _findings(streams: list[Iterator[tuple[str, AnyRow]]]) -> Iterator[Finding]:
    merged = heapq.merge(*streams, key=lambda named: named[1].order_id)
    for order_id, group in groupby(merged, key=lambda named: named[1].order_id):
        found: dict[str, list[AnyRow]] = {name: [] for name in _WALKS}
        for name, row in group:
            found[name].append(row)
        for problem in Whole(found).problems():
            yield Finding(f"order {order_id}", problem)


def _named(name: str, rows: Iterator[AnyRow]) -> Iterator[tuple[str, AnyRow]]:
    return ((name, row) for row in rows)


class Whole:
    """An order with all that belongs to it. Each method yields the problems of one aspect."""

    def __init__(self, found: dict[str, list[AnyRow]]) -> None:
        self._found = found
        self._lines, self._reservations = found["lines"], found["reservations"]
        self._payments = [one for one in found["transfers"] if one.kind != REFUND]
        self._parts = {row.seller_id: self._part(row) for row in found["sub-orders"]}
        self._sold_by = {line.product_id: self._parts.get(line.seller_id) for line in self._lines}

    def problems(self) -> Iterator[str]:
        if not self._found["orders"]:
            left = ", ".join(f"{len(rows)} {name}" for name, rows in self._found.items() if rows)
            yield f"is missing, but has {left}"
            return
        (order,) = self._found["orders"]
        self._is_loaded = not any(one.phase == "hold" for one in self._payments)
        yield from self._own(order)
        yield from self._whole(order)
        yield from self._units(order)
        yield from self._paid(order)
        for seller, part in self._parts.items():
            yield from (f"sub-order of {seller}: {problem}" for problem in part.problems(order))

    def _part(self, row: AnyRow) -> Part:
        its = {
            name: [one for one in self._found[name] if one.seller_id == row.seller_id]
            for name in ("lines", "shipments", "sent lines", "refunds", "noted heads")
        }
        moved = [one for one in self._found["transfers"] if one.kind == REFUND and one.debit == row.seller_id]
        return Part(row, its["lines"], its["shipments"], its["sent lines"], its["refunds"], moved, its["noted heads"])

    def _own(self, order: AnyRow) -> Iterator[str]:
        total = sum(line.unit_price * line.quantity for line in self._lines)
        if order.total != total or not self._lines:
            yield f"its total is {order.total}, but that of its lines is {total}"
        if [line.number for line in self._lines] != list(range(1, len(self._lines) + 1)):
            yield "its lines are not numbered from 1"
        if order.buyer_id in self._parts:
            yield "its buyer is one of its sellers"
        for name in ("lines", "shipments", "refunds", "noted heads"):
            if strange := {one.seller_id for one in self._found[name]} - self._parts.keys():
                yield f"has {name} of {len(strange)} sellers without a sub-order"
        due = order.created_at + GRACE if order.state == "placed" else None
        if order.due_at != due:
            yield f"is {order.state} and due at {order.due_at} instead of {due}"

    def _whole(self, order: AnyRow) -> Iterator[str]:
        """Compare the order with its sub-orders."""
        parts = list(self._parts.values())
        states = {part.row.state for part in parts}
        behind = next((whole for state, whole in _BEHIND.items() if state in states), None)
        state = behind or ("refunded" if any(part.is_paid for part in parts) else "cancelled")
        if order.state != state:
            yield f"is {order.state}, but by its sub-orders {state}"
        given = sum(one.amount for one in self._found["transfers"] if one.kind == REFUND)
        if order.refunded != given:
            yield f"has {order.refunded} refunded, but refund transfers of {given}"
        if strange := {one.debit for one in self._found["transfers"] if one.kind == REFUND} - self._parts.keys():
            yield f"was refunded by {len(strange)} accounts without a sub-order"
        # Payment, and cancellation, is one step for all sub-orders together.
        together = any(part.is_paid for part in parts) + ("cancelled" in states)
        alone = sum(part.steps - part.is_paid - (part.row.state == "cancelled") for part in parts)
        if order.version != 1 + together + alone:
            yield f"has version {order.version} after {together + alone} steps"
        if order.moved_at not in {part.row.moved_at for part in parts} - ({None} if together or alone else set()):
            yield f"its last step was not at {order.moved_at}"
        for kind in ("paid_at", "cancelled"):
            ends = {_at_once(part.row, kind) for part in parts} - {None}
            if len(ends) > 1:
                yield "its sub-orders were not paid or cancelled at the same time, by one request"

    def _units(self, order: AnyRow) -> Iterator[str]:
        wanted, back = Counter[UUID](), Counter[UUID]()
        for line in self._lines:
            part = self._parts.get(line.seller_id)
            wanted[line.product_id] += 0 if part and part.is_ended else line.quantity
            back[line.product_id] += line.returned
        taken = Counter({one.product_id: one.quantity for one in self._reservations})
        for product in sorted(taken.keys() | wanted.keys()):
            if taken[product] != wanted[product]:
                yield f"needs {wanted[product]} of product {product}, but {taken[product]} are reserved or sold"
        # Free orders have no holds, so whether they were bulk-loaded is unknown.
        ends = {order.created_at, order.created_at + PATIENCE}
        if any(part.row.total for part in self._parts.values()):
            ends = {order.created_at if self._is_loaded else order.created_at + PATIENCE}
        for one in self._reservations:
            part = self._sold_by.get(one.product_id)
            if not one.stocked:
                yield f"product {one.product_id} has no stock"
            if part and one.sold_at != part.row.paid_at:
                yield f"product {one.product_id} was sold at {one.sold_at}, but paid at {part.row.paid_at}"
            if one.returned != back[one.product_id]:
                yield f"{one.returned} of product {one.product_id} came back, but by its lines {back[one.product_id]}"
            if one.expires_at not in ends:
                yield f"the reservation of product {one.product_id} has a wrong expiry, {one.expires_at}"

    def _paid(self, order: AnyRow) -> Iterator[str]:
        """Check that each seller's share, and nothing else, is held, paid or freed between buyer and seller."""
        ends = {one.hold_id: one for one in self._payments if one.hold_id}
        heads = {seller: part.heads(order) for seller, part in self._parts.items()}
        paid: Counter[UUID] = Counter()
        for one in self._payments:
            part = self._parts.get(one.credit)
            if part is None or (one.debit, one.currency, one.kind) != (order.buyer_id, order.currency, "order"):
                yield f"its transfer {one.id} is not from its buyer to a seller, or of another kind or currency"
                continue
            # Money is held when the sub-order is placed, and paid or freed with its next step.
            if not is_of(one, heads[one.credit][:1] if one.phase == "hold" else heads[one.credit][1:2]):
                yield f"transfer {one.id} was made when the sub-order of {one.credit} had another history"
            if one.phase in {"single", "hold"}:
                paid[one.credit] += one.amount
            if one.phase == "hold":
                end, state = ends.get(one.id), "paid" if part.is_paid else part.row.state
                if (end and end.phase) not in _ENDS.get(state, {"post"}) or (end and end.amount != one.amount):
                    wrong = f"{end.phase if end else 'missing'}, or of another amount"
                    yield f"the sub-order of {one.credit} is {state}, but the end of its hold is {wrong}"
                if one.expires_at != order.created_at + PATIENCE:
                    yield f"the hold for {one.credit} has a wrong expiry, {one.expires_at}"
        for seller, part in self._parts.items():
            due = 0 if part.is_ended and self._is_loaded else part.row.total
            if paid[seller] != due or (self._is_loaded and due and not part.is_paid):
                yield f"{paid[seller]} were held or paid for {seller} instead of {due}"


def _at_once(part: AnyRow, kind: str) -> Any:
    """What all sub-orders that are paid, or cancelled, must have in common."""
    if kind == "paid_at":
        return part.paid_at
    return (part.ended_at, part.ended_by) if part.state == "cancelled" else None
