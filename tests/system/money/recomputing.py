"""Recomputes all derived data: heads of sub-orders and their chain, digests, hash chains, balances."""

import heapq
from contextlib import nullcontext
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, select, update

from repositories.driver_statements import Direct
from repositories.relational.audit import orders
from repositories.relational.audit.sub_orders import Part
from repositories.relational.money.digests import START, chain
from repositories.relational.money.order_heads import leg_of_head
from repositories.relational.money.stock_receipts import leg_of_receipt
from repositories.relational.schema.money_tables import stock_receipts, transfers
from repositories.relational.schema.order_tables import order_heads, sub_orders
from repositories.relational.work import Work
from tests.system.money.forgery import recompute


def recompute_everything(connection: Connection) -> None:
    """Make everything consistent after an alteration, as far as computing can."""
    _orders(connection)
    _heads(connection)
    _receipts(connection)
    recompute(connection)


def _orders(connection: Connection) -> None:
    work = Work(connection, Direct(connection.engine), nullcontext)
    streams = [orders._named(name, walk.rows(work)) for name, walk in orders._WALKS.items()]
    merged = list(heapq.merge(*streams, key=lambda named: named[1].order_id))
    for _, group in groupby(merged, key=lambda named: named[1].order_id):
        found: dict[str, list[Any]] = {name: [] for name in orders._WALKS}
        for name, row in group:
            found[name].append(row)
        for order in found["orders"]:
            for part in orders.Whole(found)._parts.values():
                _part(connection, order, part, found["transfers"])


def _part(connection: Connection, order: Any, part: Part, moved: list[Any]) -> None:
    heads, seller = part.heads(order), part.row.seller_id
    this = (sub_orders.c.order_id == order.id) & (sub_orders.c.seller_id == seller)
    connection.execute(update(sub_orders).where(this).values(head=heads[-1]))
    for noted in part.noted:
        if noted.version <= len(heads):
            number = order_heads.c.number == noted.number
            connection.execute(update(order_heads).where(number).values(head=heads[noted.version - 1]))
    versions = {one.id: one.version for one in part.refunds}
    for one in moved:
        if one.order_head is None or seller not in {one.debit, one.credit}:
            continue
        version = versions.get(one.id, 2) - 1 if one.kind == "refund" else 1 if one.phase == "hold" else 2
        head = heads[min(version, len(heads)) - 1]
        connection.execute(update(transfers).where(transfers.c.id == one.id).values(order_head=head))


def _heads(connection: Connection) -> None:
    digest = START
    rows = connection.execute(select(order_heads).order_by(order_heads.c.number)).all()
    for number, row in enumerate(rows, 1):
        digest = chain(digest, leg_of_head(row.order_id, row.seller_id, row.version, row.head))
        this = order_heads.c.number == row.number
        connection.execute(update(order_heads).where(this).values(number=number, digest=digest))


def _receipts(connection: Connection) -> None:
    ordered = select(stock_receipts).order_by(stock_receipts.c.product_id, stock_receipts.c.number)
    for product, rows in groupby(connection.execute(ordered).all(), key=attrgetter("product_id")):
        digest = START
        for row in rows:
            digest = chain(digest, leg_of_receipt(product, row.received))
            this = (stock_receipts.c.product_id == product) & (stock_receipts.c.number == row.number)
            connection.execute(update(stock_receipts).where(this).values(digest=digest))
