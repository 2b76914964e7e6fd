"""Lists of orders over HTTP, for buyers and sellers, with and without filters."""

from typing import Any
from uuid import uuid4

import pytest

from tests.apps import RELATIONAL
from tests.shop import Shop

pytestmark = pytest.mark.parametrize("settings", RELATIONAL[:1], indirect=True)


def test_lists_for_buyers_and_sellers(shop: Shop) -> None:
    orders = [shop.placed() for _ in range(5)]
    for person, role in ((shop.buyer, "buyer"), (shop.seller, "seller")):
        page = person.get("/orders", role=role, limit=3)
        onward = person.get("/orders", role=role, limit=3, cursor=page["next"])
        assert [o["id"] for o in page["items"] + onward["items"]] == orders[::-1]
        assert onward["next"] is None
        person.get("/orders", 400, role="seller" if role == "buyer" else "buyer", cursor=page["next"])
    assert shop.seller.get("/orders")["items"] == []
    shop.buyer.get("/orders", 400, role="admin")


def test_lists_of_some_orders(shop: Shop) -> None:
    fulfilled, paid, placed = shop.fulfilled(), shop.paid(), shop.placed()
    product: dict[str, Any] = {"product_id": shop.lamp}
    seller: dict[str, Any] = {"seller_id": shop.seller.account["id"]}
    made = shop.buyer.get(f"/orders/{paid}")["created_at"]
    for person, role in ((shop.buyer, "buyer"), (shop.seller, "seller")):
        for asked, expected in (
            ({"state": "paid"} | product, [paid]),
            ({"state": "fulfilled", "currency": "EUR"}, [fulfilled]),
            ({"currency": "USD"}, []),
            ({"from": made}, [placed, paid]),
            ({"to": made}, [fulfilled]),
            ({"product_id": str(uuid4())}, []),
        ):
            assert [one["id"] for one in person.get("/orders", role=role, **asked)["items"]] == expected
        page = person.get("/orders", role=role, limit=1, **product)
        assert len(person.get("/orders", role=role, cursor=page["next"], **product)["items"]) == 2
        person.get("/orders", 400, role=role, cursor=page["next"])
        for wrong in ({"state": "lost"}, {"currency": "eur"}, {"product_id": "1"}, {"from": "yesterday"}):
            person.get("/orders", 400, role=role, **wrong)
    assert len(shop.buyer.get("/orders", **seller)["items"]) == 3
    assert shop.buyer.get("/orders", seller_id=str(uuid4()))["items"] == []
    assert len(shop.seller.get("/orders", role="seller", **seller)["items"]) == 3
    assert shop.seller.get("/orders", role="seller", seller_id=shop.buyer.account["id"])["items"] == []
