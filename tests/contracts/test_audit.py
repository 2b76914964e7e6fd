"""What the audit finds, and that it finds nothing where nothing is wrong."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import ColumnElement, Executable, Table, and_, case, delete, func, select, true, update

from repositories.money_records import PROVIDER, REFUND, Finding, Order
from repositories.relational import Relational
from repositories.relational.audit.stock import SqlAudit
from repositories.relational.schema.money_tables import (
    entries,
    ledger_accounts,
    open_holds,
    order_lines,
    orders,
    refunds,
    reservations,
    transfers,
)
from repositories.relational.schema.tables import stock
from repositories.relational.statement_runner import Work
from tests.contracts.money import (
    SECOND,
    do,
    engine_of,
    give_back,
    held,
    line,
    order,
    sql,
    surely,
    transfer,
    wallet,
    without_triggers,
)
from tests.contracts.relational_store import NOW


@pytest.fixture(scope="module")
def books(new_relational: Callable[[], Relational]) -> Relational:
    """A store with a bit of everything, whose triggers are off."""
    store = new_relational()
    ada, bob = wallet(store, 100), wallet(store, 50)
    holds = [held(ada, bob, 10, order_id=uuid4()) for _ in range(4)]
    for hold in holds:
        do(store, lambda unit, hold=hold: unit.ledger.hold(hold))  # type: ignore[misc]  # default binds
    do(store, lambda unit: unit.ledger.post(uuid4(), holds[0].id, amount=4, at=NOW))
    do(store, lambda unit: unit.ledger.void(uuid4(), holds[1].id))
    do(store, lambda unit: unit.ledger.expire(uuid4(), holds[2].id, at=NOW + SECOND))
    for turn in range(4):
        paid = transfer(
            bob, ada, turn + 1, memo="For you." if turn % 2 else None, reference="17" if turn // 2 else None
        )
        do(store, lambda unit, paid=paid: unit.ledger.transfer(paid))  # type: ignore[misc]  # default binds
    do(store, lambda unit: unit.bulk.transfers([transfer(PROVIDER, uuid4(), 5, "USD") for _ in range(9)]))
    for state in ("placed", "paid", "cancelled"):
        buy(store, state)
    returned = buy(store, "paid")
    do(store, lambda unit: unit.stock.return_sold(returned.id))
    give_back(store, returned, 2)
    give_back(store, returned, returned.total.amount - 2)
    give_back(store, buy(store, "paid"), 1)
    past = order(state="refunded", refunded=5)
    do(store, lambda unit: unit.bulk.orders([order(state="fulfilled"), past]))
    seller = past.lines[0].seller_id
    paid = transfer(PROVIDER, seller, 6)
    do(
        store,
        lambda unit: unit.bulk.transfers([paid, transfer(seller, past.buyer_id, 5, kind=REFUND, order_id=past.id)]),
    )
    without_triggers(store)
    return store


def test_finds_nothing(books: Relational) -> None:
    assert list(books.audit.ledger()) == []
    assert list(books.audit.stock()) == []


CHANGES: list[tuple[Table, str, Any]] = [
    (transfers, "kind", transfers.c.kind + "x"),
    (transfers, "amount", transfers.c.amount + 1),
    (transfers, "memo", func.coalesce(transfers.c.memo, "") + "x"),
    (transfers, "reference", func.coalesce(transfers.c.reference, "") + "x"),
    (transfers, "created_at", NOW - SECOND),
    (transfers, "digest", b"\x00" * 32),
    (entries, "amount", entries.c.amount * 2),
    (entries, "balance", entries.c.balance + 1),
    (entries, "at", NOW + 99 * SECOND),
    (entries, "at", NOW - 99 * SECOND),
    (entries, "hash", b"\x00" * 32),
    (entries, "sequence", entries.c.sequence + 1000),
    (ledger_accounts, "posted", ledger_accounts.c.posted + 1),
    (ledger_accounts, "held", ledger_accounts.c.held + 1),
    (ledger_accounts, "entries", ledger_accounts.c.entries + 1),
    (ledger_accounts, "entries", ledger_accounts.c.entries - 1),
    (ledger_accounts, "head", b"\x00" * 32),
    (ledger_accounts, "last_at", NOW + 99 * SECOND),
    (open_holds, "amount", open_holds.c.amount + 1),
    (open_holds, "expires_at", NOW + 99 * SECOND),
]


@pytest.mark.parametrize(("table", "column", "value"), CHANGES)
def test_finds_a_change_of_any_row(books: Relational, table: Table, column: str, value: Any) -> None:
    for row in rows_of(books, table):
        assert findings(books, update(table).where(row).values({column: value}))[0], row


@pytest.mark.parametrize("table", [entries, open_holds])
def test_finds_a_lost_row(books: Relational, table: Table) -> None:
    for row in rows_of(books, table):
        assert findings(books, delete(table).where(row))[0], row


STOCK_CHANGES: list[tuple[Table, str, Any]] = [
    (stock, "on_hand", stock.c.on_hand + 1),
    (stock, "sold", stock.c.sold + 1),
    (stock, "received", stock.c.received + 1),
    (stock, "reserved", stock.c.reserved + 1),
    (reservations, "quantity", reservations.c.quantity + 1),
    (reservations, "sold_at", None),
    (orders, "total", orders.c.total + 1),
    (order_lines, "quantity", order_lines.c.quantity + 1),
    (order_lines, "unit_price", order_lines.c.unit_price + 1),
]


@pytest.mark.parametrize(("table", "column", "value"), STOCK_CHANGES)
def test_finds_a_change_of_stock(books: Relational, table: Table, column: str, value: Any) -> None:
    possible = stock.c.on_hand > stock.c.reserved if table is stock else true()
    if column == "sold_at":
        possible = reservations.c.sold_at.is_not(None)
    rows = rows_of(books, table, possible)
    assert rows
    for row in rows:
        assert findings(books, update(table).where(row).values({column: value}))[1], row


def test_finds_what_an_order_says_of_refunds_and_the_ledger_does_not(books: Relational) -> None:
    rows = rows_of(books, orders, orders.c.total > 0)
    other = case((orders.c.refunded == 0, orders.c.total), else_=orders.c.refunded - 1)
    for row in rows:
        assert findings(books, update(orders).where(row).values(refunded=other))[1], row
    for row in rows_of(books, orders, orders.c.state == "refunded"):
        assert findings(books, update(orders).where(row).values(state="paid"))[1], row
    for row in rows_of(books, orders, orders.c.state.in_(("paid", "fulfilled"))):
        assert findings(books, update(orders).where(row).values(state="refunded"))[1], row
    for row in rows_of(books, refunds):
        assert findings(books, delete(refunds).where(row))[1], row


def test_gives_no_false_alarm_beside_traffic(new_relational: Callable[[], Relational]) -> None:
    store = new_relational()
    people = [wallet(store, 100) for _ in range(3)]
    over = threading.Event()

    def trade() -> None:
        while not over.is_set():
            for debit, credit in zip(people, [*people[1:], people[0]], strict=True):
                hold = held(debit, credit, 2)
                surely(store, lambda unit: unit.ledger.hold(hold))  # noqa: B023  - called at once
                surely(store, lambda unit: unit.ledger.post(uuid4(), hold.id, amount=1, at=NOW))  # noqa: B023  - called at once
            buy(store, "paid")

    traffic = threading.Thread(target=trade)
    traffic.start()
    try:
        found = [finding for _ in range(10) for finding in (*store.audit.ledger(), *store.audit.stock())]
    finally:
        over.set()
        traffic.join()
    assert found == []


def rows_of(store: Relational, table: Table, *conditions: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    """A condition for each row."""
    keys = list(table.primary_key.columns)
    rows = sql(store, select(*keys).where(*conditions))
    return [and_(*(key == value for key, value in zip(keys, row, strict=True))) for row in rows]


def findings(store: Relational, damage: Executable) -> tuple[list[Finding], list[Finding]]:
    """What the audit of the ledger and that of the stock say after the damage, which is undone again."""
    with engine_of(store).connect() as connection, connection.begin() as transaction:
        assert connection.execute(damage).rowcount == 1
        audit = SqlAudit(Work(connection, nullcontext))
        found = list(audit.ledger()), list(audit.stock())
        transaction.rollback()
    return found


def buy(store: Relational, state: str) -> Order:
    """An order of two products that was taken to the state, with its stock."""
    products: list[UUID] = [uuid4(), uuid4()]
    one = order(line(products[0], 2), line(products[1], 1), line(products[0], 1))
    with store.transaction() as unit:
        for product in products:
            unit.stock.put(product, 5)
        unit.orders.add(one)
        unit.stock.reserve(one.id, {products[0]: 3, products[1]: 1}, expires_at=NOW)
        if state == "paid":
            unit.stock.commit(one.id, at=NOW)
            unit.orders.move(one.id, ["placed"], "paid", at=NOW)
        if state == "cancelled":
            unit.stock.release(one.id)
            unit.orders.move(one.id, ["placed"], "cancelled", at=NOW)
    return one
