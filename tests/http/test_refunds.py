"""Refunds over HTTP: each is a resource of its own, and the refunded sum of an order is their total."""

from datetime import timedelta
from uuid import uuid4

import pytest

from app.services.commands.idempotency import KEPT
from app.services.money.orders import GRACE
from tests.apps import PROVED_ON_POSTGRES
from tests.shop import Shop, euros

pytestmark = pytest.mark.parametrize("settings", PROVED_ON_POSTGRES, indirect=True)


def a_day_later(shop: Shop) -> None:
    """Advance the clock until all answers kept for idempotency keys have expired."""
    shop.clock.now += KEPT + timedelta(seconds=1)
    shop.system.sweeper.sweep()


def test_a_refund_can_be_read_and_listed(shop: Shop) -> None:
    order = shop.paid()
    path = f"/orders/{order}/refunds"
    body = {"amount": euros(50), "reason": "A scratch.", "restock": False}
    response = shop.seller.keyed(path, body, "one")
    made = response.get_json()
    assert response.headers["Location"] == f"/api/v1{path}/{made['id']}"
    assert {name: made[name] for name in body} == body
    assert (made["order_id"], made["seller_id"]) == (order, shop.seller.account["id"])
    for person in (shop.buyer, shop.seller):
        assert person.get(f"{path}/{made['id']}") == made
        assert person.get(path) == {"items": [made], "next": None}
    assert shop.buyer.get("/wallet/entries")["items"][0]["transfer_id"] == made["id"]
    rest = shop.seller.pay(path, {})
    assert (rest["amount"], rest["reason"], rest["restock"]) == (euros(150), "", True)
    page = shop.buyer.get(path, limit=1)
    assert page["items"] + shop.buyer.get(path, limit=1, cursor=page["next"])["items"] == [rest, made]


def test_refunds_are_for_those_concerned(shop: Shop) -> None:
    eve, other = shop.system.person("eve"), shop.system.person("other")
    vase = shop.offer(other, 3, 40)
    order, second = shop.order((shop.lamp, 1), (vase, 1))["id"], shop.paid()
    shop.after(GRACE)
    path = f"/orders/{order}/refunds"
    mine, theirs = shop.seller.pay(path, {}), other.pay(path, {"amount": euros(1)})
    assert [one["id"] for one in shop.buyer.get(path)["items"]] == [theirs["id"], mine["id"]]
    assert shop.seller.get(path)["items"] == [mine]
    assert other.get(path)["items"] == [theirs]
    other.get(f"{path}/{mine['id']}", 404)
    eve.get(path, 404)
    eve.get(f"{path}/{mine['id']}", 404)
    shop.buyer.get(f"{path}/{uuid4()}", 404)
    shop.buyer.get(f"/orders/{second}/refunds/{mine['id']}", 404)


@pytest.mark.parametrize(("said", "units"), [({"restock": True}, 10), ({"restock": False}, 8), ({}, 10)])
def test_units_are_restocked_if_the_seller_says_so(shop: Shop, said: dict[str, bool], units: int) -> None:
    order = shop.paid()
    made = shop.seller.pay(f"/orders/{order}/refunds", said)
    assert (made["restock"], shop.stock(), shop.state(order)) == (units == 10, units, "refunded")


def test_units_are_restocked_by_a_partial_refund_only_once(shop: Shop) -> None:
    path = f"/orders/{shop.paid()}/refunds"
    assert shop.seller.pay(path, {"amount": euros(10), "restock": True})["restock"] is True
    assert shop.stock() == 10
    assert shop.seller.pay(path, {"amount": euros(10), "restock": True})["restock"] is False
    assert shop.seller.pay(path, {})["restock"] is False
    assert shop.stock() == 10


def test_a_seller_restocks_only_own_units(shop: Shop) -> None:
    """Including those of a free line, for which there is no money to refund."""
    other = shop.system.person("other")
    leaflet = shop.offer(other, 5, 0)
    order = shop.order((shop.lamp, 2), (leaflet, 5))["id"]
    shop.after(GRACE)
    shop.act(order, "refund", body={"amount": euros(10)})
    free = other.pay(f"/orders/{order}/refunds", {"reason": "Out of print."})
    assert (free["amount"], free["restock"], shop.stock(leaflet), shop.stock()) == (euros(0), True, 5, 8)
    assert other.pay(f"/orders/{order}/refunds", {}, 409)["code"] == "illegal_transition"
    second = shop.order((shop.lamp, 2), (leaflet, 5))["id"]
    shop.after(GRACE)
    assert shop.act(second, "refund")["state"] == "refunded"
    assert (shop.stock(leaflet), shop.stock()) == (0, 8)


def test_a_missing_body_refunds_nothing(shop: Shop) -> None:
    order = shop.paid()
    assert shop.seller.pay(f"/orders/{order}/refunds", None, 400)["code"] == "malformed_json"
    assert shop.state(order) == "paid"


def test_an_expired_key_finds_its_refund_and_moves_nothing(shop: Shop) -> None:
    order = shop.paid()
    path, body = f"/orders/{order}/refunds", {"amount": euros(100)}
    first = shop.seller.keyed(path, body, "one")
    for _ in range(2):
        a_day_later(shop)
        again = shop.seller.keyed(path, body, "one")
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
        assert again.data == first.data
        assert (shop.buyer.get(f"/orders/{order}")["refunded"], shop.stock()) == (euros(100), 8)
        assert (shop.owned(), shop.owned(shop.seller)) == ((900, 0), (100, 0))
    others = [{"amount": euros(99)}, body | {"restock": True}, body | {"reason": "Why?"}, {}]
    for other in others:
        assert shop.seller.pay(path, other, 409, "one")["code"] == "idempotency_key_spent"
    rest = shop.seller.pay(path, {}, 201, "rest")
    assert shop.buyer.get(f"/orders/{order}")["state"] == "refunded"
    a_day_later(shop)
    for other in others:
        assert shop.seller.pay(path, other, 409, "one")["code"] == "idempotency_key_spent"
    assert shop.seller.pay(path, {}, 201, "rest") == shop.seller.pay(path, {"amount": euros(100)}, 201, "rest") == rest
    assert shop.owned() == (1000, 0)
    a_day_later(shop)
    assert shop.seller.keyed(path, body, "one").data == first.data


def test_an_expired_key_finds_its_order_as_it_is_now(shop: Shop) -> None:
    body = {"lines": [{"product_id": shop.lamp, "quantity": 2}]}
    order = shop.buyer.pay("/orders", body, 201, "one")["id"]
    shop.after(GRACE)
    a_day_later(shop)
    again = shop.buyer.keyed("/orders", body, "one")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.headers["Location"] == f"/api/v1/orders/{order}"
    assert again.get_json() == shop.buyer.get(f"/orders/{order}")
    assert again.get_json()["state"] == "paid"
    shop.seller.delete(f"/products/{shop.lamp}", etag="*")
    assert shop.buyer.keyed("/orders", body, "one").get_json()["id"] == order
    other = {"lines": [{"product_id": shop.lamp, "quantity": 1}]}
    for spent in (other, body | {"expected_total": euros(201)}):
        assert shop.buyer.pay("/orders", spent, 409, "one")["code"] == "idempotency_key_spent"
    assert shop.buyer.pay("/orders", body | {"expected_total": euros(200)}, 201, "one")["id"] == order
    assert shop.owned() == (800, 0)
    assert len(shop.buyer.get("/orders")["items"]) == 1
