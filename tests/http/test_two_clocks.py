"""Servers and relays whose clock is hours off store the same times of money, and release nothing early."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Table, select

from app.services.commands.idempotency import KEPT, LEASE
from app.services.money.anchors import newest, time_of
from app.services.money.orders import GRACE, PATIENCE
from app.worker.anchoring import anchoring_of
from config import Settings
from repositories.relational.schema import money_tables, order_tables
from repositories.relational.schema.columns import TIME
from repositories.relational.schema.tables import outbox
from tests.apps import RELATIONAL, running
from tests.contracts.transactions import sql
from tests.settable_clock import Clock
from tests.shop import Shop, euros

pytestmark = pytest.mark.parametrize("settings", RELATIONAL, indirect=True)

OFF = timedelta(hours=5)
TABLES = [one for one in (*vars(money_tables).values(), *vars(order_tables).values()) if isinstance(one, Table)]
A_UNIT = {"lines": [{"number": 1, "quantity": 1}], "reference": "A1"}


@pytest.fixture(params=[OFF, -OFF], ids=["ahead", "behind"])
def shop(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Iterator[Shop]:
    """A shop whose server and relay have a clock that is hours off; `shop.clock` is the database's."""
    database, off = Clock(), request.param
    settings = replace(settings, anchor_folder=str(tmp_path / "anchors"))
    with running(settings, lambda: database() + off, database) as system:
        found = Shop(system, database)
        yield found
        assert found.audit() == []


def stored_times(shop: Shop) -> dict[str, set[datetime]]:
    """All times in the money tables, and those of waiting events."""
    store, found = shop.system.container.stores.relational, {}
    for table in (*TABLES, outbox):
        for column in table.c:
            # Events that are not about money have the server's time.
            if column.type is TIME and column is not outbox.c.happened_at:
                rows = sql(store, select(column).where(column.is_not(None)))
                found[f"{table.name}.{column.name}"] = {row[0] for row in rows}
    happened = select(outbox.c.happened_at).where(outbox.c.type.like("Order%") | outbox.c.type.like("Deposit%"))
    return found | {"events of money": {row[0] for row in sql(store, happened)}}


def test_everything_stored_has_the_time_of_the_database(shop: Shop) -> None:
    store = shop.system.container.stores.relational
    began = store.now() - timedelta(minutes=2)
    placed, paid, sent, refused = shop.placed(), shop.paid(), shop.paid(), shop.placed()
    shop.buyer.pay("/wallet/transfers", {"to": "seller", "amount": euros(3)})
    shop.seller.pay(f"/orders/{sent}/shipments", A_UNIT)
    shop.act(paid, "refund", body={"amount": euros(5)})
    shop.act(refused, "refuse", body={"reason": "Broken."})
    shop.cancelled()
    open_ = shop.placed()
    found = stored_times(shop)
    assert {name for name, times in found.items() if not times} <= {"outbox.lease_until", "outbox.dead_lettered_at"}
    ends = store.now() + max(PATIENCE, LEASE)
    wrong = {name: times for name, times in found.items() if min(times, default=began) < began}
    wrong |= {name: times for name, times in found.items() if max(times, default=began) > ends}
    # The opening time of a ledger account without entries.
    assert wrong.keys() <= {"ledger_accounts.last_at"}
    assert (shop.state(placed), shop.state(open_)) == ("paid", "placed")


def test_orders_and_holds_end_by_the_clock_of_the_database(shop: Shop) -> None:
    order = shop.placed()
    shop.system.sweeper.sweep()
    assert shop.state(order) == "placed"
    shop.after(GRACE)
    assert shop.state(order) == "paid"
    late = shop.placed()
    shop.clock.now += PATIENCE - timedelta(minutes=1)
    held = shop.system.container.stores.relational.ledger
    assert held.due_holds(now=shop.system.container.stores.relational.now(), limit=9) == []
    shop.after(timedelta(minutes=1))
    assert shop.state(late) == "cancelled"


def test_keys_are_kept_for_a_day_of_the_database(shop: Shop) -> None:
    sent = {"to": "seller", "amount": euros(3)}
    first = shop.buyer.keyed("/wallet/transfers", sent, "one")
    shop.after(KEPT - timedelta(minutes=5))
    keys = select(money_tables.request_keys.c.key).where(money_tables.request_keys.c.key == "one")
    store = shop.system.container.stores.relational
    assert sql(store, keys)
    shop.after(timedelta(minutes=6))
    assert not sql(store, keys)
    assert shop.buyer.keyed("/wallet/transfers", sent, "one").data == first.data


def test_events_of_money_are_dispatched_at_once(shop: Shop) -> None:
    shop.buyer.pay("/wallet/deposits", {"amount": euros(40_504)}, 503)
    shop.cancelled()
    shop.system.relay.drain()
    backlog = shop.system.container.stores.relational.outbox.backlog()
    # The deposit with an unknown outcome is tried again in a second.
    assert backlog.unsent == 1
    times = stored_times(shop)
    assert max(times["outbox.due_at"]) < shop.system.container.stores.relational.now() + timedelta(minutes=1)
    assert any(note["kind"].startswith("order") for note in _notes(shop))


def test_anchors_have_the_time_of_the_database(shop: Shop, tmp_path: Path) -> None:
    assert anchoring_of(shop.system.container).tick()
    made = newest(tmp_path / "anchors")
    assert made is not None
    assert abs(time_of(made) - shop.system.container.stores.relational.now()) < timedelta(minutes=5)


def _notes(shop: Shop) -> list[dict[str, str]]:
    return [*shop.seller.get("/notifications")["items"], *shop.buyer.get("/notifications")["items"]]
