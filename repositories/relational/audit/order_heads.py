"""Follows the chain of sub-orders' heads. The audit of an order compares the chain's rows with its sub-orders."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, select

from repositories.records.chain_heads import NO_PARTS, PartsHead
from repositories.records.money import Finding
from repositories.relational.audit.once import Once
from repositories.relational.audit.walking import BATCH, walk
from repositories.relational.money.digests import chain
from repositories.relational.money.order_heads import leg_of_head
from repositories.relational.schema.order_tables import IS_UNNOTED, order_heads, sub_orders
from repositories.relational.statement_runner import AnyRow, Runner

_ABOUT = "chain of orders' heads"
_LOWEST = -(2**63)
_its = order_heads.c
_FROM = walk(select(order_heads).where(_its.number >= bindparam("from", type_=BigInteger())), _its.number)
_UNNOTED = walk(
    select(sub_orders.c.order_id, sub_orders.c.seller_id).where(IS_UNNOTED),
    sub_orders.c.order_id,
    sub_orders.c.seller_id,
)


class _Noted(NamedTuple):
    """A row of the chain: the order of its sub-order, and the end of the chain up to it."""

    order_id: UUID
    end: PartsHead


def audit_heads(runner: Runner, anchored: PartsHead) -> Iterator[Finding]:
    """Follow the chain from its start, and check that it leads through `anchored`."""
    is_met = anchored.count == 0
    for one in _followed(_FROM.rows(runner, **{"from": _LOWEST}), NO_PARTS):
        if isinstance(one, Finding):
            yield one
            return
        is_met = is_met or one.end == anchored
    if not is_met:
        yield _not_anchored(anchored)


def heads_since(runner: Runner, anchored: PartsHead, orders: Once) -> Iterator[Finding]:
    """Follow the chain after `anchored`. Audit the orders of these rows, and those that have moved since, by `orders`,
    which leaves out those that were audited for their money.
    """
    rows = _FROM.rows(runner, **{"from": anchored.count or _LOWEST})
    if anchored.count:
        first = next(rows, None)
        if first is None or (first.number, bytes(first.digest)) != (anchored.count, anchored.head):
            yield _not_anchored(anchored)
            return
    yield from _audited(orders, _followed(rows, anchored))
    yield from _audited(orders, _UNNOTED.rows(runner))


def _followed(rows: Iterable[AnyRow], end: PartsHead) -> Iterator[_Noted | Finding]:
    """The rows after `end`, up to the first one that does not match its digest."""
    for row in rows:
        leg = leg_of_head(row.order_id, row.seller_id, row.version, bytes(row.head))
        end = PartsHead(end.count + 1, chain(end.head, leg))
        if (row.number, bytes(row.digest)) != (end.count, end.head):
            yield Finding(_ABOUT, f"number {end.count} does not match its digest")
            return
        yield _Noted(row.order_id, end)


def _audited(orders: Once, parts: Iterable[_Noted | AnyRow | Finding]) -> Iterator[Finding]:
    """Audit the orders of these sub-orders, a batch at a time."""
    batch: set[UUID] = set()
    for one in parts:
        if isinstance(one, Finding):
            yield one
            continue
        batch.add(one.order_id)
        if len(batch) == BATCH:
            yield from orders.of(batch)
            batch.clear()
    yield from orders.of(batch)


def _not_anchored(anchored: PartsHead) -> Finding:
    return Finding(_ABOUT, f"its first {anchored.count} heads differ from the anchor")
