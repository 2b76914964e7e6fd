"""The functions of `drives.py` for the routes of wallets and orders."""

from dataclasses import replace
from typing import Any

from tests.apps import Person
from tests.http.driving import FURTHER, Drive, drive, simple
from tests.http.world import EUR, Call, World

simple("GET", "/wallet", lambda w, _: Call(w.person().rich(), "/wallet"))


@drive("GET", "/wallet/entries")
def _entries(world: World, n: int) -> Call:
    ada = world.person()
    for giver in world.people(n):
        giver.rich(5).pay("/wallet/transfers", {"to": ada.handle, "amount": {"amount": 5, "currency": "EUR"}})
    return Call(ada, "/wallet/entries", query={"limit": 100})


def _entries_at(world: World, n: int) -> Call:
    """In a currency that the caller never had: the most expensive case, since it waits for transfers under way."""
    call = _entries(world, n)
    return replace(call, query=call.query | {"currency": "XTS", "at": "2026-01-01T00:00:00Z"})


FURTHER.append((("GET", "/wallet/entries"), _entries_at))

simple("POST", "/wallet/deposits", lambda w, _: Call(w.person(), "/wallet/deposits", {"amount": EUR}, keyed=True))


simple("POST", "/wallet/payouts", lambda w, _: Call(w.person().rich(), "/wallet/payouts", {"amount": EUR}, keyed=True))


@drive("GET", "/wallet/payouts")
def _payouts(world: World, n: int) -> Call:
    ada = world.person().rich()
    for _ in range(n):
        ada.pay("/wallet/payouts", {"amount": EUR | {"amount": 1}})
    return Call(ada, "/wallet/payouts", query={"limit": 100})


@drive("GET", "/wallet/payouts/<uuid:payout_id>")
def _payout_read(world: World, _: int) -> Call:
    ada = world.person().rich()
    made = ada.pay("/wallet/payouts", {"amount": EUR})
    return Call(ada, f"/wallet/payouts/{made['id']}")


@drive("POST", "/wallet/transfers")
def _transfer(world: World, _: int) -> Call:
    body = {"to": world.person().handle, "amount": EUR}
    return Call(world.person().rich(), "/wallet/transfers", body, keyed=True)


def _statement(path: str, **query: object) -> Drive:
    return lambda world, n: replace(_entries(world, n), path=path, query=query)


simple("GET", "/wallet/statement", _statement("/wallet/statement", currency="EUR", limit=100))
simple("GET", "/wallet/statement.csv", _statement("/wallet/statement.csv", currency="EUR"))
FURTHER += [
    (("GET", path), _statement(path, currency="XTS")) for path in ("/wallet/statement", "/wallet/statement.csv")
]


@drive("GET", "/wallet/transfers/<uuid:transfer_id>")
def _transfer_read(world: World, _: int) -> Call:
    ada, bob = world.person(), world.person().rich()
    made = bob.pay("/wallet/transfers", {"to": ada.handle, "amount": EUR})
    return Call(ada, f"/wallet/transfers/{made['id']}")


@drive("POST", "/orders")
def _place(world: World, n: int) -> Call:
    seller = world.person()
    lines = [{"product_id": world.lamp(seller), "quantity": 1} for _ in range(n)]
    return Call(world.person().rich(), "/orders", {"lines": lines}, keyed=True)


@drive("GET", "/orders")
def _orders(world: World, n: int) -> Call:
    seller = world.person()
    lamp = world.lamp(seller)
    for buyer in world.people(n):
        buyer.rich(100).pay("/orders", {"lines": [{"product_id": lamp, "quantity": 1}]})
    return Call(seller, "/orders", query={"limit": 100, "role": "seller"})


def _of_order(after: str, *, seller: bool = False) -> Drive:
    """A call on an order: by the buyer while it is placed, or with `seller` by the seller once it is paid."""

    def prepare(world: World, n: int) -> Call:
        bought, sold, order = world.order(n, paid=seller)
        body: dict[str, Any] | None = {} if after in {"/refuse", "/shipments"} else None
        return Call(sold if seller else bought, f"/orders/{order}{after}", body, keyed=bool(after))

    return prepare


simple("GET", "/orders/<uuid:order_id>", _of_order(""))
simple("POST", "/orders/<uuid:order_id>/cancel", _of_order("/cancel"))
simple("POST", "/orders/<uuid:order_id>/fulfil", _of_order("/fulfil", seller=True))


simple("POST", "/orders/<uuid:order_id>/refuse", _of_order("/refuse", seller=True))
simple("POST", "/orders/<uuid:order_id>/shipments", _of_order("/shipments", seller=True))


@drive("GET", "/orders/<uuid:order_id>/shipments")
def _shipments(world: World, n: int) -> Call:
    buyer, _seller, order = _partly_sent(world, n)
    return Call(buyer, f"/orders/{order}/shipments", query={"limit": 100})


@drive("GET", "/orders/<uuid:order_id>/history")
def _history(world: World, n: int) -> Call:
    buyer, _seller, order = _partly_sent(world, n)
    return Call(buyer, f"/orders/{order}/history", query={"limit": 100})


@drive("GET", "/orders/<uuid:order_id>/shipments/<uuid:shipment_id>")
def _shipment_read(world: World, _: int) -> Call:
    buyer, seller, order = world.order(paid=True)
    made = seller.pay(f"/orders/{order}/shipments", {})
    return Call(buyer, f"/orders/{order}/shipments/{made['id']}")


def _partly_sent(world: World, n: int) -> tuple[Person, Person, str]:
    """A paid order whose lines were shipped one by one."""
    buyer, seller, order = world.order(n, paid=True)
    for number in range(1, n + 1):
        lines = [{"number": number, "quantity": 1}]
        seller.pay(f"/orders/{order}/shipments", {"lines": lines})
    return buyer, seller, order


@drive("POST", "/orders/<uuid:order_id>/refunds")
def _refund(world: World, n: int) -> Call:
    _buyer, seller, order = world.order(n, paid=True)
    return Call(seller, f"/orders/{order}/refunds", {"reason": "It broke.", "restock": True}, keyed=True)


@drive("GET", "/orders/<uuid:order_id>/refunds")
def _refunds(world: World, n: int) -> Call:
    buyer, seller, order = world.order(paid=True)
    for _ in range(n):
        seller.pay(f"/orders/{order}/refunds", {"amount": EUR | {"amount": 1}})
    return Call(buyer, f"/orders/{order}/refunds", query={"limit": 100})


@drive("GET", "/orders/<uuid:order_id>/refunds/<uuid:refund_id>")
def _refund_read(world: World, _: int) -> Call:
    _buyer, seller, order = world.order(paid=True)
    made = seller.pay(f"/orders/{order}/refunds", {"amount": EUR | {"amount": 1}})
    return Call(seller, f"/orders/{order}/refunds/{made['id']}")
