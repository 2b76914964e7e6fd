"""Every statement on money, stock, orders and idempotency keys uses an index, over thousands of rows."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest

from repositories.errors import StoreError
from repositories.records.graph import TimeCursor
from repositories.records.idempotency import Granted, RequestKey
from repositories.records.money import PROVIDER, Transfer
from repositories.records.orders import Order
from repositories.relational import RelationalStore, Transaction
from repositories.relational.postgres.store import PostgresRelational
from tests.contracts.money import held, line, order, refund, transfer
from tests.contracts.relational_store import NOW, opened
from tests.contracts.transactions import SECOND
from tests.engines.relational.filled import fill
from tests.engines.relational.test_plans import Recorder, scans

# In CI, `tests/system/plans` checks every method of the port over other rows.
pytestmark = pytest.mark.proof
ROWS = 3_000
KEY = RequestKey(PROVIDER, "POST /orders", "k")


class Data:
    def __init__(self) -> None:
        self.people = [uuid4() for _ in range(ROWS)]
        self.holds: list[Transfer] = [held(one, self.people[0], 1, order_id=uuid4()) for one in self.people[1:]]
        self.orders: list[Order] = [
            order(*(line(uuid4()) for _ in range(8)), buyer_id=one, state="paid") for one in self.people
        ]
        self.refunds = [refund(one, 0) for one in self.orders]
        self.placed: list[Order] = [order(line(uuid4()), due_at=NOW) for _ in range(ROWS // 10)]

    def fill(self, unit: Transaction) -> None:
        unit.bulk.transfers([transfer(PROVIDER, one, 100, order_id=uuid4()) for one in self.people])
        unit.bulk.orders(self.orders)
        for made in self.refunds:
            unit.refunds.add(made)
        for hold in self.holds:
            unit.ledger.hold(hold)
        for new in self.placed:
            unit.orders.add(new)
            unit.stock.put(new.lines[0].product_id, 5)
            unit.stock.reserve(new.id, {new.lines[0].product_id: 1}, expires_at=NOW)
        for owner in self.people:
            unit.idempotency.claim(RequestKey(owner, "r", "k"), b"", SECOND)


@pytest.fixture(scope="module")
def data(url: str) -> Data:
    made = Data()
    fill(url, made.fill)
    return made


@pytest.fixture(scope="module")
def store(url: str, data: Data) -> Iterator[RelationalStore]:
    with opened(url) as store:
        yield store


READS: dict[str, Callable[[RelationalStore, Data], object]] = {
    "wallet": lambda store, d: store.ledger.wallet(d.people[0]),
    "entries": lambda store, d: store.ledger.entries(d.people[0], "EUR", limit=20),
    "entries of the provider": lambda store, _: store.ledger.entries(PROVIDER, "EUR", before=2000, limit=20),
    "entries until": lambda store, _: store.ledger.entries(PROVIDER, "EUR", until=NOW, limit=20),
    "statement": lambda store, _: store.ledger.statement(
        PROVIDER, "EUR", since=NOW - SECOND, until=NOW + SECOND, after=0, limit=20
    ),
    "balance_at": lambda store, _: store.ledger.balance_at(PROVIDER, "EUR", NOW),
    "transfers": lambda store, d: store.ledger.get([one.id for one in d.holds[:20]]),
    "due_holds": lambda store, _: store.ledger.due_holds(now=NOW + SECOND, limit=20),
    "available": lambda store, d: store.stock.available(d.people[:20]),
    "due_reservations": lambda store, _: store.stock.due_reservations(now=NOW, limit=20),
    "orders": lambda store, d: store.orders.get([one.id for one in d.orders[:20]]),
    "of_buyer": lambda store, d: store.orders.of_buyer(d.people[0], before=None, limit=20),
    "of_buyer before": lambda store, d: store.orders.of_buyer(
        d.people[0], before=TimeCursor(NOW + SECOND, PROVIDER), limit=20
    ),
    "of_seller": lambda store, d: store.orders.of_seller(d.orders[0].lines[0].seller_id, before=None, limit=20),
    "of_seller before": lambda store, d: store.orders.of_seller(
        d.orders[0].lines[0].seller_id, before=TimeCursor(NOW + SECOND, PROVIDER), limit=20
    ),
    "stuck": lambda store, _: store.orders.stuck(now=NOW, limit=20),
    "refund": lambda store, d: store.refunds.get(d.refunds[0].id),
    "refunds": lambda store, d: store.refunds.of_order(d.orders[0].id, before=None, limit=20),
    "refunds of a seller before": lambda store, d: store.refunds.of_order(
        d.orders[0].id, seller_id=d.refunds[0].seller_id, before=TimeCursor(NOW + SECOND, PROVIDER), limit=20
    ),
}


def put_and_clear(unit: Transaction, product: UUID) -> None:
    unit.stock.put(product, 5)
    unit.stock.put(product, 5, if_version=2)
    unit.stock.clear(product)


def claim_and_take_over(unit: Transaction, _: Data) -> None:
    found = [unit.idempotency.claim(KEY, b"", 0 * SECOND) for _turn in range(2)]
    assert isinstance(found[1], Granted)
    unit.idempotency.abandon(KEY, found[1])


WRITES: dict[str, Callable[[Transaction, Data], Any]] = {
    "lock": lambda unit, d: unit.ledger.lock(d.people[:3], "EUR"),
    "transfer": lambda unit, d: unit.ledger.transfer(transfer(d.people[0], d.people[1], 1)),
    "hold": lambda unit, d: unit.ledger.hold(held(d.people[0], d.people[1], 1)),
    "post": lambda unit, d: unit.ledger.post(uuid4(), d.holds[0].id, at=NOW),
    "void": lambda unit, d: unit.ledger.void(uuid4(), d.holds[1].id),
    "expire": lambda unit, d: unit.ledger.expire(uuid4(), d.holds[2].id, at=NOW + SECOND),
    "resolved": lambda unit, d: unit.ledger.void(uuid4(), d.holds[0].id),
    "open_holds": lambda unit, d: unit.ledger.open_holds(d.holds[4].order_id or PROVIDER),
    "stock.put": lambda unit, d: put_and_clear(unit, d.placed[5].lines[0].product_id),
    "reserve": lambda unit, d: unit.stock.reserve(uuid4(), {d.placed[0].lines[0].product_id: 1}, expires_at=NOW),
    "commit": lambda unit, d: unit.stock.commit(d.placed[0].id, at=NOW),
    "release": lambda unit, d: unit.stock.release(d.placed[1].id),
    "return_sold": lambda unit, d: unit.stock.return_sold(d.orders[0].id),
    "orders.add": lambda unit, _: unit.orders.add(order()),
    "orders.lock": lambda unit, d: unit.orders.lock(d.orders[0].id),
    "move": lambda unit, d: unit.orders.move(d.placed[2].id, "paid", at=NOW),
    "refunds.add": lambda unit, d: unit.refunds.add(refund(d.orders[0])),
    "claim": claim_and_take_over,
    "sweep": lambda unit, _: unit.idempotency.sweep(before=NOW + SECOND, limit=20),
}


@pytest.mark.parametrize("name", READS)
def test_reads(store: RelationalStore, url: str, data: Data, name: str) -> None:
    assert isinstance(store, PostgresRelational)
    with Recorder(store) as recorder:
        assert READS[name](store, data) != []
    assert len(recorder.statements) == 1
    assert scans(url, recorder.statements) == []


@pytest.mark.parametrize("name", WRITES)
def test_writes(store: RelationalStore, url: str, data: Data, name: str) -> None:
    assert isinstance(store, PostgresRelational)
    with Recorder(store) as recorder, suppress(StoreError), store.transaction() as unit:
        WRITES[name](unit, data)
    assert recorder.statements
    single = [(sql, values[0] if isinstance(values, list) else values) for sql, values in recorder.statements]
    assert scans(url, single) == []
