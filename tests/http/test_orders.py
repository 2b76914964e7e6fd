"""Orders over HTTP: placing, all moves, lists, and changes of state that are due after some time."""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.services.money.orders import GRACE, PATIENCE
from app.worker.relay import Relay, RelayLimits
from tests.apps import PROVED_ON_POSTGRES
from tests.shop import Shop, euros

pytestmark = pytest.mark.parametrize("settings", PROVED_ON_POSTGRES, indirect=True)


def test_an_order_holds_its_prices_units_and_money(shop: Shop) -> None:
    shop.seller.patch(f"/products/{shop.lamp}", {"title": "Torch", "price": euros(30)}, etag="*")
    response = shop.buyer.keyed("/orders", {"lines": [{"product_id": shop.lamp, "quantity": 2}]}, "one")
    order = response.get_json()
    assert response.headers["Location"] == f"/api/v1/orders/{order['id']}"
    shop.seller.patch(f"/products/{shop.lamp}", {"price": euros(99)}, etag="*")
    assert order["lines"] == [
        {
            "number": 1,
            "product_id": shop.lamp,
            "product_version": 2,
            "title": "Torch",
            "seller_id": shop.seller.account["id"],
            "unit_price": euros(30),
            "quantity": 2,
            "fulfilled": 0,
            "returned": 0,
        }
    ]
    assert (order["state"], order["total"], order["refunded"]) == ("placed", euros(60), euros(0))
    assert (shop.stock(), shop.owned()) == (8, (1000, 60))
    assert shop.buyer.get(f"/orders/{order['id']}") == order == shop.seller.get(f"/orders/{order['id']}")
    assert shop.buyer.etag(f"/orders/{order['id']}") == response.headers["ETag"]
    system = shop.system
    system.person("eve").get(f"/orders/{order['id']}", 404)


def test_a_block_in_either_direction_forbids_orders(shop: Shop) -> None:
    seller, buyer = shop.seller, shop.buyer
    wanted = {"lines": [{"product_id": shop.lamp, "quantity": 1}]}
    for one, other in ((seller, buyer), (buyer, seller)):
        one.put(f"/accounts/{other.handle}/block")
        assert buyer.pay("/orders", wanted, 403)["code"] == "blocked"
        assert (shop.stock(), shop.owned()) == (10, (1000, 0))
        one.delete(f"/accounts/{other.handle}/block")
    buyer.pay("/orders", wanted)


def test_an_order_is_paid_fulfilled_and_refunded(shop: Shop) -> None:
    order = shop.placed()
    shop.after(timedelta(0))
    assert shop.state(order) == "placed"
    shop.after(GRACE)
    assert (shop.state(order), shop.stock(), shop.owned(), shop.owned(shop.seller)) == ("paid", 8, (800, 0), (200, 0))
    assert shop.act(order, "fulfil")["state"] == "fulfilled"
    back = shop.act(order, "refund")
    assert (back["state"], back["refunded"], shop.stock()) == ("refunded", euros(200), 10)
    assert (shop.owned(), shop.owned(shop.seller)) == ((1000, 0), (0, 0))
    kinds = [(e["kind"], e["amount"]["amount"]) for e in shop.buyer.get("/wallet/entries")["items"]]
    assert kinds == [("refund", 200), ("order", -200), ("deposit", 1000)]


def test_a_cancelled_order_frees_units_and_money(shop: Shop) -> None:
    order = shop.cancelled()
    assert (shop.state(order), shop.stock(), shop.owned()) == ("cancelled", 10, (1000, 0))
    shop.after(PATIENCE)
    assert shop.state(order) == "cancelled"


LEGAL = {
    ("placed", "cancel"): "cancelled",
    ("paid", "fulfil"): "fulfilled",
    ("paid", "refund"): "refunded",
    ("fulfilled", "refund"): "refunded",
}


@pytest.mark.parametrize("move", ["cancel", "fulfil", "refund"])
@pytest.mark.parametrize("state", ["placed", "paid", "fulfilled", "cancelled", "refunded"])
def test_every_move_from_every_state(shop: Shop, state: str, move: str) -> None:
    reach: Callable[[], str] = getattr(shop, state)
    order = reach()
    before = (shop.stock(), shop.owned())
    expected = LEGAL.get((state, move))
    found = shop.act(order, move, 200 if expected else 409)
    if expected:
        assert found["state"] == expected
        return
    assert found["code"] == "illegal_transition"
    assert (shop.state(order), shop.stock(), shop.owned()) == (state, *before)


@pytest.mark.parametrize("state", ["placed", "paid", "fulfilled", "cancelled", "refunded"])
def test_only_a_placed_order_is_settled(shop: Shop, state: str) -> None:
    reach: Callable[[], str] = getattr(shop, state)
    order = reach()
    shop.after(GRACE)
    assert shop.state(order) == ("paid" if state == "placed" else state)


def test_an_unpaid_order_is_cancelled(shop: Shop) -> None:
    order = shop.placed()
    shop.after(PATIENCE)
    assert (shop.state(order), shop.stock(), shop.owned()) == ("cancelled", 10, (1000, 0))


def test_each_move_is_for_its_party(shop: Shop) -> None:
    eve = shop.system.person("eve")
    order = shop.placed()
    for move in ("cancel", "fulfil", "refund"):
        shop.act(order, move, 404, by=eve)
        shop.act(str(uuid4()), move, 404)
    shop.act(order, "cancel", 403, by=shop.seller)
    for move in ("fulfil", "refund"):
        shop.act(order, move, 403, by=shop.buyer)
    assert shop.state(order) == "placed"


def test_refunds_are_capped(shop: Shop) -> None:
    order = shop.paid()
    part = shop.act(order, "refund", body={"amount": euros(150)})
    assert (part["state"], part["refunded"], shop.stock()) == ("paid", euros(150), 8)
    assert shop.act(order, "refund", 409, {"amount": euros(51)})["code"] == "refund_capped"
    for other in ("USD", "ABC"):
        shop.act(order, "refund", 422, {"amount": {"amount": 1, "currency": other}})
    for wrong in (0, -1, 1.5, 2**63):
        shop.act(order, "refund", 422, {"amount": euros(wrong)})  # type: ignore[arg-type] # wrong on purpose
    shop.act(order, "fulfil")
    rest = shop.act(order, "refund", body={})
    assert (rest["state"], rest["refunded"], shop.stock(), shop.owned()) == ("refunded", euros(200), 10, (1000, 0))
    assert shop.act(order, "refund", 409, {"amount": euros(1)})["code"] == "illegal_transition"


def test_a_refund_needs_the_sellers_money(shop: Shop) -> None:
    order = shop.paid()
    shop.seller.pay("/wallet/transfers", {"to": "buyer", "amount": euros(1)})
    assert shop.act(order, "refund", 409)["code"] == "insufficient_funds"
    assert (shop.state(order), shop.stock()) == ("paid", 8)


def test_an_order_of_several_sellers(shop: Shop) -> None:
    other = shop.system.person("other")
    vase = shop.offer(other, 3, 40)
    order = shop.order((shop.lamp, 1), (vase, 2), (shop.lamp, 1))
    assert (order["total"], [line["quantity"] for line in order["lines"]]) == (euros(280), [1, 2, 1])
    shop.after(GRACE)
    assert (shop.owned(shop.seller), shop.owned(other)) == ((200, 0), (80, 0))
    assert shop.act(order["id"], "refund", 409, {"amount": euros(81)}, by=other)["code"] == "refund_capped"
    back = shop.act(order["id"], "refund", by=other)
    assert (back["state"], back["refunded"], shop.stock(vase), shop.stock()) == ("refunded", euros(80), 3, 8)
    assert shop.state(order["id"]) == "paid"
    assert shop.act(order["id"], "refund", 409, by=other)["code"] == "illegal_transition"
    assert shop.act(order["id"], "refund")["state"] == "refunded"
    assert (shop.stock(vase), shop.stock()) == (3, 10)
    assert shop.owned() == (1000, 0)


def test_refused_orders_change_nothing(shop: Shop) -> None:
    dollars = shop.offer(shop.seller, 1, 1, "USD")
    problem = shop.order((shop.lamp, 1), (dollars, 1), status=422)
    assert [e["pointer"] for e in problem["errors"]] == ["/lines/1/product_id"]
    problem = shop.order((str(uuid4()), 1), status=422)
    assert [e["pointer"] for e in problem["errors"]] == ["/lines/0/product_id"]
    assert shop.order((shop.lamp, 11), status=409)["code"] == "out_of_stock"
    assert shop.order((shop.lamp, 6), (shop.lamp, 5), status=409)["code"] == "out_of_stock"
    assert shop.order((shop.lamp, 2**62), status=409)["code"] == "too_much"
    shop.buyer.pay("/wallet/deposits", {"amount": euros(1)})
    dear = shop.offer(shop.seller, 1, 1002)
    assert shop.order((dear, 1), status=409)["code"] == "insufficient_funds"
    assert shop.order((shop.lamp, 1), by=shop.seller, status=409)["code"] == "own_product"
    never = shop.seller.post("/products", {"title": "Idea", "category": "x", "price": euros(1)})["product"]["id"]
    assert shop.order((never, 1), status=409)["code"] == "out_of_stock"
    assert (shop.stock(), shop.owned()) == (10, (1001, 0))
    assert shop.buyer.get("/orders")["items"] == []


def test_an_unexpected_total_is_refused(shop: Shop) -> None:
    lines = [{"product_id": shop.lamp, "quantity": 2}]
    shop.seller.patch(f"/products/{shop.lamp}", {"price": euros(110)}, etag="*")
    for expected in (euros(200), {"amount": 220, "currency": "USD"}, euros(0)):
        problem = shop.buyer.pay("/orders", {"lines": lines, "expected_total": expected}, 409)
        assert problem["code"] == "price_changed"
        assert (problem["expected_total"], problem["total"]) == (expected, euros(220))
    assert (shop.stock(), shop.owned()) == (10, (1000, 0))
    shop.buyer.pay("/orders", {"lines": lines, "expected_total": {"amount": 220.0, "currency": "EUR"}}, 422)
    for known in (euros(220), None):
        assert shop.buyer.pay("/orders", {"lines": lines, "expected_total": known})["total"] == euros(220)


def test_a_free_product_can_be_ordered(shop: Shop) -> None:
    leaflet = shop.offer(shop.seller, 1, 0)
    order = shop.order((leaflet, 1))["id"]
    shop.after(GRACE)
    assert (shop.state(order), shop.stock(leaflet)) == ("paid", 0)
    assert shop.act(order, "refund")["state"] == "refunded"
    assert shop.stock(leaflet) == 1


def test_the_last_unit_is_sold_once(shop: Shop) -> None:
    last = shop.offer(shop.seller, 1, 5)
    shop.order((last, 1))
    assert shop.order((last, 1), by=shop.system.person().rich(), status=409)["code"] == "out_of_stock"
    problem = shop.seller.put(f"/products/{last}/stock", {"on_hand": 0}, 409, etag="*")
    assert problem["code"] == "stock_reserved"


def test_a_withdrawn_product_keeps_its_reservations(shop: Shop) -> None:
    order = shop.placed()
    shop.seller.delete(f"/products/{shop.lamp}", etag="*")
    shop.system.relay.drain()
    shop.after(GRACE)
    assert shop.state(order) == "paid"
    assert shop.order((shop.lamp, 1), status=422)


def test_orders_publish_their_events(shop: Shop) -> None:
    for reach in (shop.cancelled, shop.refunded, shop.fulfilled):
        reach()
    published: list[str] = []
    outbox = shop.system.container.stores.relational.outbox
    limits = RelayLimits(timedelta(seconds=1), timedelta(seconds=30), attempts=1)
    Relay([outbox], lambda event: published.append(event.type), shop.clock, limits).drain()
    expected = {"Placed": 3, "Cancelled": 1, "Paid": 2, "Refunded": 1, "Fulfilled": 1}
    assert {kind: published.count(f"Order{kind}") for kind in expected} == expected


def test_the_last_units_are_sold_exactly_once(shop: Shop) -> None:
    """Each order has two lines of the same product, so exactly five of the concurrent orders fit."""
    last = shop.offer(shop.seller, 10, 1)
    buyers = [shop.system.person().rich(10) for _ in range(12)]
    body = {"lines": [{"product_id": last, "quantity": 1}] * 2}
    answers = at_once([functools.partial(buyer.keyed, "/orders", body, "one") for buyer in buyers])
    assert sorted(a.status_code for a in answers) == [201] * 5 + [409] * 7
    assert shop.stock(last) == 0
    shop.after(GRACE)
    assert shop.stock(last) == 0


def test_concurrent_cancel_and_settlement(shop: Shop) -> None:
    for _ in range(5):
        order = shop.placed()
        shop.clock.now += GRACE
        cancel = functools.partial(shop.buyer.keyed, f"/orders/{order}/cancel", None, "one")
        cancelled, _swept = at_once([cancel, shop.system.sweeper.sweep])
        assert (cancelled.status_code, shop.state(order)) in {(200, "cancelled"), (409, "paid")}


def at_once(jobs: list[Callable[[], Any]]) -> list[Any]:
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))
