"""Follows each product's chain of receipts: the total received, recorded each time its stock was put.

After an anchor only newer receipts are read. Reservations are audited with their orders, which new entries lead to.
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, bindparam, select, tuple_, union_all

from repositories.records.chain_heads import StockHead
from repositories.records.money import Finding
from repositories.relational.audit.walking import BATCH, NIL, walk
from repositories.relational.money.digests import START, chain
from repositories.relational.money.stock_receipts import leg_of_receipt
from repositories.relational.schema.columns import ID, LIMIT
from repositories.relational.schema.money_tables import stock_receipts
from repositories.relational.schema.tables import stock
from repositories.relational.statement_runner import AnyRow, Runner

# The number of products whose new receipts one statement reads.
TOGETHER = 100


def _last(column: ColumnElement[Any]) -> ColumnElement[Any]:
    of_product = select(column).where(stock_receipts.c.product_id == stock.c.product_id)
    return of_product.order_by(stock_receipts.c.number.desc()).limit(1).scalar_subquery()


_LAST = walk(
    select(
        *(stock.c[name] for name in ("product_id", "on_hand", "sold", "received")),
        _last(stock_receipts.c.number).label("number"),
        _last(stock_receipts.c.digest).label("digest"),
        _last(stock_receipts.c.received).label("last"),
    ),
    stock.c.product_id,
)
_starts = union_all(
    *(
        select(
            bindparam(f"product_{turn}", type_=ID).label("product_id"),
            bindparam(f"number_{turn}", type_=BigInteger()).label("number"),
        )
        for turn in range(TOGETHER)
    )
).subquery("starts")
_place = tuple_(bindparam("after_product", type_=ID), bindparam("after_number", type_=BigInteger()))
_NEW = (
    select(stock_receipts)
    .join(_starts, (stock_receipts.c.product_id == _starts.c.product_id) & (stock_receipts.c.number > _starts.c.number))
    .where(tuple_(stock_receipts.c.product_id, stock_receipts.c.number) > _place)
    .order_by(stock_receipts.c.product_id, stock_receipts.c.number)
    .limit(LIMIT)
)
Changed = dict[UUID, tuple[AnyRow, StockHead]]


def by_product(*streams: Iterable[Any]) -> Iterator[tuple[UUID, list[list[Any]]]]:
    """For each product, its rows in each of the streams. These must be ordered by product."""
    for product, group in groupby(heapq.merge(*map(_numbered, range(len(streams)), streams)), key=itemgetter(0)):
        found: list[list[Any]] = [[] for _ in streams]
        for _, turn, _, row in group:
            found[turn].append(row)
        yield product, found


def _numbered(turn: int, rows: Iterable[Any]) -> Iterator[tuple[UUID, int, int, Any]]:
    return ((row.product_id, turn, place, row) for place, row in enumerate(rows))


def about(product: UUID, problems: Iterable[str]) -> Iterator[Finding]:
    return (Finding(f"stock of product {product}", problem) for problem in problems)


def received(row: AnyRow) -> Iterator[str]:
    if row.received != row.on_hand + row.sold:
        yield f"has {row.on_hand} on hand and {row.sold} sold, but {row.received} received"


def chained(
    row: AnyRow, receipts: Iterable[AnyRow], *, after: StockHead | None = None, through: StockHead | None = None
) -> Iterator[str]:
    """Check a product's chain. `row` is its stock; `receipts` are all of them, or those after `after`."""
    number, head, last = (after.receipts, after.head, 0) if after else (0, START, 0)
    is_met = through is None or through.receipts == 0
    for one in receipts:
        number, last = number + 1, one.received
        head = chain(head, leg_of_receipt(one.product_id, one.received))
        if (one.number, bytes(one.digest)) != (number, head):
            yield f"receipt {one.number} does not match its digest"
            return
        if through is not None and number == through.receipts:
            is_met = head == through.head
    if through is not None and not is_met:
        yield _not_anchored(through)
    if row.received != last:
        yield _not_last_receipt(row, last)


def _not_anchored(known: StockHead) -> str:
    return f"its first {known.receipts} receipts differ from the anchor"


def _not_last_receipt(row: AnyRow, last: int) -> str:
    return f"has {row.received} received, but {last} in its last receipt"


def receipts_since(runner: Runner, stocked: Iterable[StockHead]) -> Iterator[StockHead | Finding]:
    """The head of every product's receipts, preceded by the findings about those after `stocked`."""
    changed: Changed = {}
    heads: list[StockHead] = []
    for product, (own, known) in by_product(_LAST.rows(runner), iter(stocked)):
        before = known[0] if known else StockHead(product, 0, START)
        if not own:
            yield from about(product, ["is missing, but is in the anchor"])
            continue
        row, head = own[0], StockHead(product, own[0].number or 0, bytes(own[0].digest or START))
        yield from about(product, received(row))
        if head.receipts > before.receipts:
            changed[product] = (row, before)
        elif head != before:
            yield from about(product, [_not_anchored(before)])
        elif row.received != row.last:
            yield from about(product, [_not_last_receipt(row, row.last or 0)])
        heads.append(head)
        if len(changed) == TOGETHER or len(heads) == BATCH:
            yield from _newer(runner, changed)
            yield from heads
            changed, heads = {}, []
    yield from _newer(runner, changed)
    yield from heads


def _newer(runner: Runner, changed: Changed) -> Iterator[Finding]:
    if not changed:
        return
    starts = [before for _, before in changed.values()]
    starts += [StockHead(NIL, 0, START)] * (TOGETHER - len(starts))
    values: dict[str, Any] = {f"product_{turn}": one.product_id for turn, one in enumerate(starts)}
    values |= {f"number_{turn}": one.receipts for turn, one in enumerate(starts)}
    for product, receipts in groupby(_read_on(runner, values), key=lambda row: row.product_id):
        row, before = changed[product]
        yield from about(product, chained(row, receipts, after=before))


def _read_on(runner: Runner, values: dict[str, Any]) -> Iterator[AnyRow]:
    values |= {"after_product": NIL, "after_number": 0, "limit": BATCH}
    while rows := runner.rows(_NEW, values):
        yield from rows
        values |= {"after_product": rows[-1].product_id, "after_number": rows[-1].number}
