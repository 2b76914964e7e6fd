"""Holds every order against its lines, sellers, reservations, refunds and transfers.

All are read side by side along their order's id, so rows that belong to no order are found too.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, exists, select

from repositories.money_records import REFUND, Finding
from repositories.relational.audit.walking import Walk, walk
from repositories.relational.schema.columns import IDS, among
from repositories.relational.schema.money_tables import (
    order_lines,
    order_sellers,
    orders,
    refunds,
    reservations,
    transfers,
)
from repositories.relational.schema.tables import stock
from repositories.relational.statement_runner import AnyRow, Runner

# How soon a placed order is due, and how long it may wait: a test compares them with the service's.
GRACE, PATIENCE = timedelta(seconds=2), timedelta(minutes=15)
# Moves before the state, without refunds, each of which is one more.
_MOVES = {"placed": (0,), "paid": (1,), "cancelled": (1,), "fulfilled": (2,), "refunded": (1, 2)}
# How the holds of an order have ended.
_ENDS: dict[str, set[str | None]] = {"placed": {None}, "cancelled": {"void", "expire"}}

_seller = order_sellers.c
_listed = exists().where(
    _seller.seller_id == order_lines.c.seller_id,
    _seller.created_at == orders.c.created_at,
    _seller.order_id == order_lines.c.order_id,
)


def _of(whole: Walk) -> Select[Any]:
    """The same of some orders, also in the order of their ids."""
    order_id = whole.columns[0]
    return whole.statement.where(among(order_id, bindparam("ids", type_=IDS))).order_by(*whole.columns)


_WALKS = {
    "orders": walk(select(orders, orders.c.id.label("order_id")), orders.c.id),
    "lines": walk(
        select(order_lines, _listed.label("listed")).outerjoin(orders, orders.c.id == order_lines.c.order_id),
        order_lines.c.order_id,
        order_lines.c.number,
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
}
_SOME = {name: _of(one) for name, one in _WALKS.items()}
_LISTED = walk(
    select(
        order_sellers,
        exists()
        .where(order_lines.c.order_id == _seller.order_id, order_lines.c.seller_id == _seller.seller_id)
        .label("sells"),
        select(orders.c.created_at).where(orders.c.id == _seller.order_id).scalar_subquery().label("ordered_at"),
    ),
    _seller.seller_id,
    _seller.created_at,
    _seller.order_id,
)


def audit_orders(runner: Runner) -> Iterator[Finding]:
    yield from _findings([_named(name, one.rows(runner)) for name, one in _WALKS.items()])
    for row in _LISTED.rows(runner):
        if not row.sells or row.ordered_at != row.created_at:
            yield Finding(f"order {row.order_id}", f"is listed for {row.seller_id}, who does not sell in it")


def audit_some_orders(runner: Runner, ids: Collection[UUID]) -> Iterator[Finding]:
    wanted = {"ids": list(ids)}
    return _findings([_named(name, iter(runner.rows(one, wanted))) for name, one in _SOME.items()])


def _findings(streams: list[Iterator[tuple[str, AnyRow]]]) -> Iterator[Finding]:
    merged = heapq.merge(*streams, key=lambda part: part[1].order_id)
    for order_id, group in groupby(merged, key=lambda part: part[1].order_id):
        parts: dict[str, list[AnyRow]] = {name: [] for name in _WALKS}
        for name, row in group:
            parts[name].append(row)
        for problem in Whole(parts).problems():
            yield Finding(f"order {order_id}", problem)


def _named(name: str, rows: Iterator[AnyRow]) -> Iterator[tuple[str, AnyRow]]:
    return ((name, row) for row in rows)


class Whole:
    """An order with all that belongs to it. Each method yields what is wrong with one part."""

    def __init__(self, parts: dict[str, list[AnyRow]]) -> None:
        self._parts = parts
        self._lines, self._reservations = parts["lines"], parts["reservations"]
        self._refunds, self._transfers = parts["refunds"], parts["transfers"]
        self._shares: Counter[UUID] = Counter()
        for line in self._lines:
            self._shares[line.seller_id] += line.unit_price * line.quantity

    def problems(self) -> Iterator[str]:
        if not self._parts["orders"]:
            left = ", ".join(f"{len(rows)} {name}" for name, rows in self._parts.items() if rows)
            yield f"is not there, but {left} of it"
            return
        (order,) = self._parts["orders"]
        self._is_loaded = not any(one.phase == "hold" for one in self._transfers)
        yield from self._own(order)
        yield from self._units(order)
        yield from self._payments(order)
        yield from self._returns(order)

    def _own(self, order: AnyRow) -> Iterator[str]:
        if order.total != self._shares.total() or not self._lines:
            yield f"its total is {order.total}, its lines make {self._shares.total()}"
        if [line.number for line in self._lines] != list(range(1, len(self._lines) + 1)):
            yield "its lines are not numbered from 1"
        if not all(line.listed for line in self._lines):
            yield "is not listed for a seller of it"
        if order.buyer_id in self._shares:
            yield "its buyer is a seller of it"
        due = order.created_at + GRACE if order.state == "placed" else None
        if order.due_at != due:
            yield f"is {order.state} and due at {order.due_at} instead of {due}"
        if order.version not in {1 + moves + len(self._refunds) for moves in _MOVES.get(order.state, ())}:
            yield f"is {order.state} with {len(self._refunds)} refunds at version {order.version}"
        if order.moved_at not in self._moved(order):
            yield f"was not moved at {order.moved_at}"

    def _moved(self, order: AnyRow) -> Sequence[Any]:
        """When the order may have moved last."""
        if order.state == "placed":
            return (None,)
        if order.state in {"cancelled", "fulfilled"}:
            return () if order.moved_at is None else (order.moved_at,)
        return [one.created_at for one in self._refunds] or [one.sold_at for one in self._reservations]

    def _units(self, order: AnyRow) -> Iterator[str]:
        bought: Counter[UUID] = Counter()
        for line in self._lines:
            bought[line.product_id] += line.quantity
        taken = {one.product_id: one.quantity for one in self._reservations}
        wanted = {} if order.state == "cancelled" else dict(bought)
        for product in sorted(taken.keys() | wanted.keys()):
            if taken.get(product, 0) != wanted.get(product, 0):
                is_so = f"is {order.state} with {wanted.get(product, 0)} of product {product}"
                yield f"{is_so}, reserved or sold are {taken.get(product, 0)}"
        # Free orders have no holds, so it is not seen whether they were loaded.
        ends = {order.created_at, order.created_at + PATIENCE}
        if self._shares.total():
            ends = {order.created_at if self._is_loaded else order.created_at + PATIENCE}
        for one in self._reservations:
            if not one.stocked:
                yield f"product {one.product_id} has no stock"
            if (one.sold_at is None) != (order.state == "placed"):
                kept = "reserved" if one.sold_at is None else "sold"
                yield f"is {order.state}, and product {one.product_id} is {kept}"
            if one.expires_at not in ends:
                yield f"product {one.product_id} was not reserved until {one.expires_at}"
        if len({one.sold_at for one in self._reservations}) > 1:
            yield "its units were not sold at one time"

    def _payments(self, order: AnyRow) -> Iterator[str]:
        """Each seller's share is held, paid or freed, by transfers between buyer and seller, and nothing else is."""
        ends = {one.hold_id: one for one in self._transfers if one.hold_id}
        paid: Counter[UUID] = Counter()
        for one in self._transfers:
            if one.kind == REFUND:
                continue
            between = (one.debit, one.currency, one.kind) == (order.buyer_id, order.currency, "order")
            if not between or one.credit not in self._shares:
                yield f"transfer {one.id} of it is not between its buyer and a seller, or in another currency"
            if one.phase == "single":
                paid[one.credit] += one.amount
            elif one.phase == "hold":
                end = ends.get(one.id)
                paid[one.credit] += one.amount
                if (end and end.phase) not in _ENDS.get(order.state, {"post"}) or (end and end.amount != one.amount):
                    yield f"is {order.state}, and the money held for {one.credit} is {end.phase if end else 'held'}"
                if one.expires_at != order.created_at + PATIENCE:
                    yield f"the money for {one.credit} was not held until {one.expires_at}"
        loaded = order.state == "cancelled" and self._is_loaded
        due = Counter[UUID]() if loaded else Counter({one: share for one, share in self._shares.items() if share})
        if paid != due or (order.state == "placed" and self._is_loaded and due):
            yield f"its sellers have {paid.total()} of it instead of {due.total()}, or not each as much"

    def _returns(self, order: AnyRow) -> Iterator[str]:
        moved = {one.id: one for one in self._transfers if one.kind == REFUND}
        given: Counter[UUID] = Counter()
        for one in moved.values():
            given[one.debit] += one.amount
            if (one.credit, one.currency, one.phase) != (order.buyer_id, order.currency, "single"):
                yield f"refund {one.id} did not go to its buyer, or in another currency"
        for seller, amount in given.items():
            if amount > self._shares.get(seller, 0):
                yield f"{seller} has given back {amount} of {self._shares.get(seller, 0)}"
        if order.refunded != given.total():
            yield f"says {order.refunded} were refunded, its transfers make {given.total()}"
        if order.total and (order.state == "refunded") != (order.refunded == order.total):
            yield f"is {order.state} with {order.refunded} refunded of {order.total}"
        yield from self._recorded(moved)
        yield from self._restocked()

    def _recorded(self, moved: dict[UUID, AnyRow]) -> Iterator[str]:
        """Refunds against their transfers. One of nothing has brought units back."""
        for one in self._refunds:
            made = moved.pop(one.id, None)
            if made is None and not one.restock:
                yield f"refund {one.id} has no transfer"
            elif made is not None and (made.debit, made.created_at) != (one.seller_id, one.created_at):
                yield f"refund {one.id} is not by whom, or not of when, its transfer is"
        for missing in moved:
            yield f"transfer {missing} has no refund"

    def _restocked(self) -> Iterator[str]:
        back = Counter(one.seller_id for one in self._refunds if one.restock)
        sold_by = {line.product_id: line.seller_id for line in self._lines}
        for seller in sorted(back.keys() - self._shares.keys()):
            yield f"{seller} has taken units back, and sells nothing in it"
        for one in self._reservations:
            times = back[sold_by[one.product_id]] if one.product_id in sold_by else 0
            if times > 1 or one.returned != times * one.quantity:
                yield f"{one.returned} of product {one.product_id} came back in {times} refunds"
