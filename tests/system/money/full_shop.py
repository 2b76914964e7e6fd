"""A shop with every kind of change to money, stock and orders in its history."""

from uuid import UUID, uuid4

from app.services.money.orders import GRACE
from tests.apps import Person
from tests.contracts.money import held
from tests.contracts.relational_store import NOW
from tests.contracts.transactions import SECOND, do
from tests.shop import Shop, euros


def fill(shop: Shop) -> None:
    """Deposits and transfers in two currencies; orders of two sellers in every state; refunds; holds with every end."""
    other = shop.system.person("other")
    chair, gift = shop.offer(other, 20, 30), shop.offer(other, 20, 0)
    shop.buyer.rich(100_000).rich(70, "USD")
    shop.buyer.pay("/wallet/transfers", {"to": "other", "amount": euros(5), "memo": "For you.", "reference": "17"})
    shop.buyer.pay("/wallet/transfers", {"to": "seller", "amount": {"amount": 5, "currency": "USD"}})

    def ordered(*, paid: bool = True) -> str:
        placed = str(shop.order((shop.lamp, 1), (chair, 1), (gift, 1), (chair, 1))["id"])
        if paid:
            shop.after(GRACE)
        return placed

    ordered()
    shop.act(ordered(), "fulfil")
    shop.act(ordered(paid=False), "cancel")
    shop.refunded()
    _refunded_in_part(ordered(), shop.seller, other)
    _sent_in_part(ordered(), shop.seller, other)
    _refused(ordered(), ordered(paid=False), other)
    _refused(ordered(), ordered(paid=False), shop.seller)
    shop.after(GRACE)
    _held_without_an_order(shop, other)
    for amount, status in ((9, 201), (40_402, 402), (40_504, 503)):
        shop.buyer.pay("/wallet/payouts", {"amount": euros(amount)}, status)
    ordered(paid=False)
    shop.order((gift, 1))


def _refunded_in_part(order: str, seller: Person, other: Person) -> None:
    seller.pay(f"/orders/{order}/refunds", {"amount": euros(5), "reason": "A scratch.", "restock": False})
    other.pay(f"/orders/{order}/refunds", {"reason": "It broke."})


def _sent_in_part(order: str, seller: Person, other: Person) -> None:
    seller.pay(f"/orders/{order}/shipments", {"reference": "DHL 1"})
    for number in (2, 4):
        lines = {"lines": [{"number": number, "quantity": 1}], "reference": f"DHL {number}"}
        other.pay(f"/orders/{order}/shipments", lines)
    other.pay(f"/orders/{order}/refunds", {"amount": euros(10), "restock": False})


def _refused(paid: str, placed: str, seller: Person) -> None:
    for order in (paid, placed):
        seller.pay(f"/orders/{order}/refuse", {"reason": "Sold out."}, 200)


def _held_without_an_order(shop: Shop, other: Person) -> None:
    store = shop.system.container.stores.relational
    buyer, seller = UUID(shop.buyer.account["id"]), UUID(other.account["id"])
    holds = [held(buyer, seller, 10 + more, kind="reserve") for more in range(4)]
    for hold in holds:
        do(store, lambda unit, hold=hold: unit.ledger.hold(hold))  # type: ignore[misc]  # default binds
    do(store, lambda unit: unit.ledger.post(uuid4(), holds[0].id, amount=4, at=NOW))
    do(store, lambda unit: unit.ledger.void(uuid4(), holds[1].id))
    do(store, lambda unit: unit.ledger.expire(uuid4(), holds[2].id, at=NOW + SECOND))
