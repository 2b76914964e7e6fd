"""Orders of earlier versions are split by seller when the tables are migrated, and the audit finds nothing."""

from uuid import UUID

from app.services.money.orders import GRACE
from repositories.money_records import Order
from tests.contracts.money import engine_of, without_triggers
from tests.contracts.test_relational import downgrade
from tests.shop import Shop, euros
from tests.system.money.forgery import recompute


def test_orders_of_earlier_versions(shop: Shop) -> None:
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
    assert store.migrate()[0] == "relational: 0016 sub-orders, shipments and indexes for the lists of orders"
    without_triggers(store)
    with engine_of(store).begin() as connection:
        recompute(connection)  # transfers of that version knew no heads of orders
    assert shop.audit() == []
    after = store.orders.get([UUID(one) for one in kept])
    assert [_said(after[UUID(one)]) for one in kept] == [_said(before[UUID(one)]) for one in kept]


def _said(order: Order) -> list[object]:
    parts = [(part.seller_id, part.state, part.refunded, part.version) for part in order.sub_orders]
    return [order.state, order.version, *parts, *((line.fulfilled, line.returned) for line in order.lines)]
