"""Notifications of orders over HTTP: who is notified of which state, and by whom."""

from collections.abc import Iterator

import pytest

from app.services.money.orders import GRACE
from config import Settings
from tests.apps import RELATIONAL, Person, System, running
from tests.http.inbox import NoonClock, handles, inbox
from tests.shop import Clock, Shop


@pytest.fixture
def clock() -> Clock:
    return NoonClock()


@pytest.fixture
def system(settings: Settings, clock: Clock) -> Iterator[System]:
    with running(settings, clock) as found:
        yield found


@pytest.fixture
def shop(system: System, clock: Clock) -> Shop:
    return Shop(system, clock)


def news(shop: Shop, person: Person) -> list[tuple[str, str, list[str]]]:
    page = inbox(shop.system, person)
    assert all(i["kind"] == "order" and i["post_id"] is None for i in page["items"])
    return [(i["order_id"], i["state"], sorted(handles(i))) for i in page["items"]]


@pytest.mark.parametrize("settings", RELATIONAL, indirect=True)
def test_buyer_and_seller_are_notified_of_states(shop: Shop) -> None:
    ours, theirs = ["buyer"], ["seller"]
    order = shop.placed()
    assert news(shop, shop.buyer) == news(shop, shop.seller) == []
    other = shop.cancelled()
    assert news(shop, shop.buyer) == [(other, "cancelled", theirs)]
    shop.after(GRACE)
    assert news(shop, shop.seller) == [(order, "sold", ours)]
    assert news(shop, shop.buyer)[0] == (order, "paid", theirs)
    shop.act(order, "fulfil")
    shop.act(order, "refund", body={"amount": {"amount": 1, "currency": "EUR"}})
    assert news(shop, shop.buyer)[:2] == [(order, "refunded", theirs), (order, "fulfilled", theirs)]
    shop.act(order, "refund")
    states = [state for _, state, _ in news(shop, shop.buyer)]
    assert states == ["refunded", "fulfilled", "paid", "cancelled"]
    assert news(shop, shop.seller) == [(order, "sold", ours)]
    assert shop.seller.get("/notifications")["unread_count"] == 1
    assert shop.buyer.get("/notifications")["unread_count"] == 4


def test_an_order_from_two_sellers(shop: Shop) -> None:
    second = shop.system.person("second")
    mug = shop.offer(second, 10, 50)
    order = shop.order((shop.lamp, 1), (mug, 1))["id"]
    shop.after(GRACE)
    assert news(shop, second) == news(shop, shop.seller) == [(order, "sold", ["buyer"])]
    assert news(shop, shop.buyer) == [(order, "paid", ["second", "seller"])]
    shop.act(order, "refund", by=second)
    assert news(shop, shop.buyer)[0] == (order, "refunded", ["second"])
    shop.buyer.put("/accounts/second/block")
    assert news(shop, shop.buyer) == [(order, "paid", ["seller"])]
    assert news(shop, second) == []
