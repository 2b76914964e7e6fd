"""The migration splits orders of earlier versions by seller, and the audit finds nothing afterwards."""

from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, event

from app.services.money.orders import GRACE
from config import Settings
from repositories.records.orders import Order
from tests.apps import embedded, running
from tests.contracts.money import without_triggers
from tests.contracts.transactions import downgrade, engine_of
from tests.shop import Clock, Shop, euros
from tests.system.money.forgery import recompute


def test_the_migration_splits_orders_of_earlier_versions(shop: Shop) -> None:
    other = shop.system.person("other")
    chair, gift = shop.offer(other, 20, 30), shop.offer(other, 20, 0)
    shop.buyer.rich(5000)

    def ordered() -> str:
        order = str(shop.order((shop.lamp, 1), (chair, 1), (gift, 1), (chair, 1))["id"])
        shop.after(GRACE)
        return order

    paid, done, part, whole, back = (ordered() for _ in range(5))
    for seller in (shop.seller, other):
        seller.pay(f"/orders/{done}/fulfil", status=200)
        seller.pay(f"/orders/{back}/fulfil", status=200)
        for order in (whole, back):
            seller.pay(f"/orders/{order}/refunds", {"restock": seller is other})
    shop.seller.pay(f"/orders/{part}/refunds", {"amount": euros(5), "restock": True})
    other.pay(f"/orders/{part}/refunds", {})
    free = str(shop.order((gift, 2))["id"])
    shop.after(GRACE)
    other.pay(f"/orders/{free}/refunds", {})
    kept = [shop.cancelled(), shop.placed(), paid, done, part, whole, back, free]
    assert shop.audit() == []
    store = shop.system.container.stores.relational
    before = store.orders.get([UUID(one) for one in kept])
    downgrade(store, "0015")
    assert store.migrate()[0] == "relational: 0016 split orders into sub-orders by seller, and create shipments"
    without_triggers(store)
    with engine_of(store).begin() as connection:
        recompute(connection)  # transfers of that version have no heads of orders
    assert shop.audit() == []
    after = store.orders.get([UUID(one) for one in kept])
    assert [_content(after[UUID(one)]) for one in kept] == [_content(before[UUID(one)]) for one in kept]


def test_a_batch_is_found_by_indexes(tmp_path: Path) -> None:
    """Otherwise each batch would read whole tables, and the migration of 100,000 orders would take hours."""
    scans: set[str] = set()

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("INSERT", "UPDATE")) and "?" in statement:
            found = connection.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            scans.update(row[3] for row in found if row[3].startswith("SCAN "))

    with running(Settings(**embedded(tmp_path)), clock := Clock()) as system:
        Shop(system, clock).fulfilled()
        store = system.container.stores.relational
        downgrade(store, "0015")
        event.listen(Engine, "before_cursor_execute", explain)
        try:
            store.migrate()
        finally:
            event.remove(Engine, "before_cursor_execute", explain)
    # The grouped rows of a batch, and the only statement about all accounts.
    assert scans == {"SCAN share", "SCAN ledger_accounts"}


def _content(order: Order) -> list[object]:
    parts = [(part.seller_id, part.state, part.refunded, part.version) for part in order.sub_orders]
    return [order.state, order.version, *parts, *((line.fulfilled, line.returned) for line in order.lines)]
