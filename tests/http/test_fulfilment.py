"""Sub-orders over HTTP: each seller's part of an order has its own state, shipments and refusal."""

import functools
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.services.commands.idempotency import KEPT
from app.services.money.orders import GRACE
from config import Settings
from tests.apps import RELATIONAL, Person
from tests.http.test_account_deletion import leave, seen
from tests.http.test_orders import at_once
from tests.shop import Shop, euros

pytestmark = pytest.mark.parametrize("settings", RELATIONAL[:1], indirect=True)


class TwoSellerShop(Shop):
    """A shop with a second seller, of vases at 40 and free leaflets."""

    def __init__(self, shop: Shop) -> None:
        self.__dict__.update(shop.__dict__)
        self.other = self.system.person("other")
        self.vase = self.offer(self.other, 9, 40)
        self.leaflet = self.offer(self.other, 9, 0)

    def order_of_two_sellers(self, *, paid: bool = True) -> str:
        """An order of two lamps, three vases and a leaflet: 200 for the seller, 120 for the other seller."""
        order = str(self.order((self.lamp, 2), (self.vase, 3), (self.leaflet, 1))["id"])
        if paid:
            self.after(GRACE)
        return order

    def states(self, order: str) -> list[str]:
        """The states of the order, of the seller's sub-order, and of the other seller's."""
        found = self.buyer.get(f"/orders/{order}")
        parts = {part["seller_id"]: part["state"] for part in found["sellers"]}
        own = [self.seller.get(f"/orders/{order}")["state"], self.other.get(f"/orders/{order}")["state"]]
        assert own == [parts[one.account["id"]] for one in (self.seller, self.other)]
        return [found["state"], *own]

    def ship(self, order: str, *lines: tuple[int, int], by: Person | None = None, status: int = 201) -> Any:
        body = {"lines": [{"number": number, "quantity": units} for number, units in lines]} if lines else {}
        return (by or self.other).pay(f"/orders/{order}/shipments", body, status)


@pytest.fixture
def shop(shop: Shop, settings: Settings) -> TwoSellerShop:
    assert settings
    return TwoSellerShop(shop)


def test_a_seller_sees_only_the_own_part(shop: TwoSellerShop) -> None:
    order = shop.order_of_two_sellers()
    whole, mine, theirs = (one.get(f"/orders/{order}") for one in (shop.buyer, shop.seller, shop.other))
    assert [line["number"] for line in whole["lines"]] == [1, 2, 3]
    assert [line["number"] for line in mine["lines"]] == [1]
    assert [line["number"] for line in theirs["lines"]] == [2, 3]
    assert [one["total"]["amount"] for one in (whole, mine, theirs)] == [320, 200, 120]
    assert [part["total"]["amount"] for part in mine["sellers"] + theirs["sellers"]] == [200, 120]
    assert sorted(part["seller_id"] for part in whole["sellers"]) == sorted(
        one.account["id"] for one in (shop.seller, shop.other)
    )
    for seller, other in ((shop.seller, shop.other), (shop.other, shop.seller)):
        for path in (f"/orders/{order}", "/orders", f"/orders/{order}/history", f"/orders/{order}/shipments"):
            said = seen(seller, f"{path}?role=seller" if path == "/orders" else path)
            assert other.account["id"] not in said
    assert shop.owned(shop.seller) == (200, 0)
    assert shop.owned(shop.other) == (120, 0)
    kinds = [(entry["kind"], entry["amount"]["amount"]) for entry in shop.buyer.get("/wallet/entries")["items"]]
    assert sorted(kinds) == [("deposit", 1000), ("order", -200), ("order", -120)]


def test_one_seller_fulfils_while_another_refuses(shop: TwoSellerShop) -> None:
    order = shop.order_of_two_sellers()
    assert shop.act(order, "fulfil")["state"] == "fulfilled"
    assert shop.states(order) == ["paid", "fulfilled", "paid"]
    refused = shop.other.pay(f"/orders/{order}/refuse", {"reason": "Out of vases."}, 200)
    assert (refused["state"], refused["refunded"], refused["total"]) == ("refused", euros(120), euros(120))
    assert refused["sellers"][0]["reason"] == "Out of vases."
    assert shop.states(order) == ["fulfilled", "fulfilled", "refused"]
    assert (shop.owned(), shop.owned(shop.seller), shop.owned(shop.other)) == ((800, 0), (200, 0), (0, 0))
    assert (shop.stock(), shop.stock(shop.vase), shop.stock(shop.leaflet)) == (8, 9, 9)
    assert shop.buyer.get(f"/orders/{order}")["refunded"] == euros(120)
    assert shop.audit() == []


@pytest.mark.parametrize("both", [True, False])
def test_refusing_a_placed_part_frees_units_and_money(shop: TwoSellerShop, both: bool) -> None:  # noqa: FBT001  - a parameter of pytest
    order = shop.order_of_two_sellers(paid=False)
    assert shop.owned() == (1000, 320)
    shop.other.pay(f"/orders/{order}/refuse", {}, 200)
    assert shop.states(order) == ["placed", "placed", "refused"]
    assert (shop.owned(), shop.stock(), shop.stock(shop.vase)) == ((1000, 200), 8, 9)
    if both:
        shop.seller.pay(f"/orders/{order}/refuse", {}, 200)
        assert shop.states(order) == ["cancelled", "refused", "refused"]
        assert (shop.owned(), shop.stock()) == ((1000, 0), 10)
    shop.after(GRACE)
    assert shop.states(order)[0] == ("cancelled" if both else "paid")
    assert shop.owned() == ((1000, 0) if both else (800, 0))
    if not both:
        shop.act(order, "fulfil")
        assert shop.states(order) == ["fulfilled", "fulfilled", "refused"]
    assert shop.audit() == []


def test_a_partly_refused_order_can_be_cancelled(shop: TwoSellerShop) -> None:
    order = shop.order_of_two_sellers(paid=False)
    shop.other.pay(f"/orders/{order}/refuse", {}, 200)
    assert shop.act(order, "cancel")["state"] == "cancelled"
    assert shop.states(order) == ["cancelled", "cancelled", "refused"]
    assert (shop.owned(), shop.stock(), shop.stock(shop.vase)) == ((1000, 0), 10, 9)
    assert shop.other.pay(f"/orders/{order}/refuse", {}, 409)["code"] == "illegal_transition"


def test_nothing_is_cancelled_once_a_part_is_paid(shop: TwoSellerShop) -> None:
    order = shop.order_of_two_sellers()
    shop.act(order, "fulfil")
    assert shop.act(order, "cancel", 409)["code"] == "illegal_transition"
    assert shop.states(order) == ["paid", "fulfilled", "paid"]


def test_a_sub_order_is_sent_in_several_shipments(shop: TwoSellerShop) -> None:
    order = shop.order_of_two_sellers()
    path = f"/orders/{order}/shipments"
    body = {"lines": [{"number": 2, "quantity": 1}], "reference": "DHL 17"}
    response = shop.other.keyed(path, body, "one")
    made = response.get_json()
    assert response.headers["Location"] == f"/api/v1{path}/{made['id']}"
    assert {name: made[name] for name in body} == body
    assert shop.states(order) == ["paid", "paid", "partly_fulfilled"]
    assert [line["fulfilled"] for line in shop.other.get(f"/orders/{order}")["lines"]] == [1, 0]
    assert shop.other.pay(f"/orders/{order}/refuse", {}, 409)["code"] == "illegal_transition"
    rest = shop.ship(order)
    assert rest["lines"] == [{"number": 2, "quantity": 2}, {"number": 3, "quantity": 1}]
    assert shop.states(order) == ["paid", "paid", "fulfilled"]
    for person in (shop.buyer, shop.other):
        assert person.get(f"{path}/{made['id']}") == made
        assert person.get(path)["items"] == [rest, made]
        page = person.get(path, limit=1)
        assert page["items"] + person.get(path, limit=1, cursor=page["next"])["items"] == [rest, made]
    assert shop.seller.get(path)["items"] == []
    shop.seller.get(f"{path}/{made['id']}", 404)
    shop.buyer.get(f"{path}/{uuid4()}", 404)
    shop.buyer.get(f"/orders/{shop.paid()}/shipments/{made['id']}", 404)
    assert shop.audit() == []


WRONG_LINES = [[(2, 0)], [(2, -1)], [(2, 1.5)], [(1, 1)], [(9, 1)], [(0, 1)]]
TOO_MANY = [[(2, 4)], [(2, 3), (3, 2)], [(2, 3), (2, 1)]]


@pytest.mark.parametrize(
    ("lines", "status"), [*((each, 422) for each in WRONG_LINES), *((each, 409) for each in TOO_MANY)]
)
def test_wrong_lines_cannot_be_sent(shop: TwoSellerShop, lines: list[tuple[int, int]], status: int) -> None:
    order = shop.order_of_two_sellers()
    problem = shop.ship(order, *lines, status=status)
    assert problem["code"] == ("nothing_to_send" if status == 409 else "validation_failed")
    assert shop.states(order) == ["paid", "paid", "paid"]


def test_a_line_may_be_named_twice(shop: TwoSellerShop) -> None:
    assert shop.ship(shop.order_of_two_sellers(), (2, 1), (2, 1))["lines"] == [{"number": 2, "quantity": 2}]


@pytest.mark.parametrize(
    "body", [None, [], {"lines": []}, {"lines": [{}]}, {"lines": [1]}, {"reference": None}, {"reference": "x" * 201}]
)
def test_invalid_shipments_are_refused(shop: TwoSellerShop, body: Any) -> None:
    order = shop.order_of_two_sellers()
    shop.other.pay(f"/orders/{order}/shipments", body, 400 if body is None else 422)
    assert shop.states(order) == ["paid", "paid", "paid"]


def test_moves_are_for_the_sellers_of_the_order(shop: TwoSellerShop) -> None:
    order, eve = shop.order_of_two_sellers(), shop.system.person("eve")
    for move in ("shipments", "refuse"):
        shop.buyer.pay(f"/orders/{order}/{move}", {}, 403)
        eve.pay(f"/orders/{order}/{move}", {}, 404)
        shop.seller.pay(f"/orders/{uuid4()}/{move}", {}, 404)
    for path in ("history", "shipments"):
        eve.get(f"/orders/{order}/{path}", 404)
    assert shop.states(order) == ["paid", "paid", "paid"]


def test_a_partial_shipment_then_refunds_of_the_rest(shop: TwoSellerShop) -> None:
    """A refund restocks the units that were not sent."""
    order = shop.order_of_two_sellers()
    shop.ship(order, (2, 1), (3, 1))
    back = shop.other.pay(f"/orders/{order}/refunds", {"amount": euros(80), "restock": True})
    assert (back["units"], shop.stock(shop.vase), shop.stock(shop.leaflet)) == (2, 8, 8)
    assert shop.states(order) == ["paid", "paid", "fulfilled"]
    assert shop.ship(order, (2, 1), status=409)["code"] == "illegal_transition"
    assert shop.owned(shop.other) == (40, 0)
    last = shop.other.pay(f"/orders/{order}/refunds", {})
    assert (last["amount"], last["units"], shop.stock(shop.vase), shop.stock(shop.leaflet)) == (euros(40), 2, 9, 9)
    assert shop.states(order) == ["paid", "paid", "refunded"]
    assert shop.audit() == []


def test_two_fulfilments_at_once_send_no_unit_twice(shop: TwoSellerShop) -> None:
    for _ in range(3):
        order = shop.order_of_two_sellers()
        body = {"lines": [{"number": 2, "quantity": 2}]}
        path = f"/orders/{order}/shipments"
        answers = at_once([functools.partial(shop.other.keyed, path, body, key) for key in ("one", "two")])
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        sent = [line["fulfilled"] for line in shop.other.get(f"/orders/{order}")["lines"]]
        assert sent == [2, 0]
        shop.buyer.rich(500)


def test_the_last_part_fulfilled_and_refused_at_once(shop: TwoSellerShop) -> None:
    for _ in range(3):
        order = shop.order_of_two_sellers()
        fulfil = functools.partial(shop.other.keyed, f"/orders/{order}/fulfil", None, "one")
        refuse = functools.partial(shop.other.keyed, f"/orders/{order}/refuse", {}, "two")
        answers = at_once([fulfil, refuse])
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        won = "fulfilled" if answers[0].status_code == 200 else "refused"
        assert shop.states(order) == ["paid", "paid", won]
        assert shop.audit() == []
        shop.buyer.rich(500)


def test_a_refusal_needs_the_sellers_money(shop: TwoSellerShop) -> None:
    order = shop.order_of_two_sellers()
    shop.other.pay("/wallet/transfers", {"to": "buyer", "amount": euros(1)})
    assert shop.other.pay(f"/orders/{order}/refuse", {}, 409)["code"] == "insufficient_funds"
    assert (shop.states(order), shop.stock(shop.vase)) == (["paid", "paid", "paid"], 6)


def test_the_history_has_every_step_with_its_time(shop: TwoSellerShop) -> None:
    order = shop.order_of_two_sellers(paid=False)
    shop.other.pay(f"/orders/{order}/refuse", {}, 200)
    shop.after(GRACE)
    sent = shop.seller.pay(f"/orders/{order}/shipments", {})
    back = shop.seller.pay(f"/orders/{order}/refunds", {"amount": euros(5)})
    path, (me, other) = f"/orders/{order}/history", (one.account["id"] for one in (shop.seller, shop.other))
    found = shop.buyer.get(path)["items"]
    said = {(step["kind"], step["seller_id"], step["shipment_id"], step["refund_id"]) for step in found}
    mine = {("placed", None, None, None), ("paid", me, None, None)}
    mine |= {("shipped", me, sent["id"], None), ("refunded", me, None, back["id"])}
    assert said == mine | {("refused", other, None, None)}
    assert [step["at"] for step in found] == sorted(step["at"] for step in found)
    own = shop.seller.get(path)["items"]
    assert {(step["kind"], step["seller_id"], step["shipment_id"], step["refund_id"]) for step in own} == mine
    assert [step["kind"] for step in shop.other.get(path)["items"]] == ["placed", "refused"]
    page = shop.buyer.get(path, limit=2)
    assert page["items"] + shop.buyer.get(path, cursor=page["next"])["items"] == found


def test_an_account_can_be_deleted_when_its_part_is_finished(shop: TwoSellerShop) -> None:
    """The state of the other seller's sub-order does not matter."""
    order = shop.order_of_two_sellers()
    assert leave(shop.other, status=409, forfeit=True)["code"] == "orders_unfinished"
    shop.ship(order, (2, 1))
    assert leave(shop.other, status=409, forfeit=True)["code"] == "orders_unfinished"
    shop.ship(order)
    leave(shop.other, forfeit=True)
    assert leave(shop.seller, status=409, forfeit=True)["code"] == "orders_unfinished"
    shop.seller.pay(f"/orders/{order}/refuse", {}, 200)
    leave(shop.seller, forfeit=True)
    assert [part["state"] for part in shop.buyer.get(f"/orders/{order}")["sellers"]] in (
        ["refused", "fulfilled"],
        ["fulfilled", "refused"],
    )


def test_an_expired_key_finds_what_it_made(shop: TwoSellerShop) -> None:
    order, second = shop.order_of_two_sellers(), shop.placed()
    shipment = {"lines": [{"number": 2, "quantity": 1}], "reference": "A"}
    asked = [
        (shop.buyer, f"/orders/{second}/cancel", None),
        (shop.seller, f"/orders/{order}/fulfil", None),
        (shop.other, f"/orders/{order}/shipments", shipment),
    ]
    third = shop.order_of_two_sellers(paid=False)
    asked.append((shop.other, f"/orders/{third}/refuse", {"reason": "Sold out."}))
    first = [person.keyed(path, body, "one") for person, path, body in asked]
    assert [answer.status_code for answer in first] == [200, 200, 201, 200]
    shop.after(GRACE)
    shop.clock.now += KEPT + timedelta(seconds=1)
    shop.system.sweeper.sweep()
    before = (shop.owned(), shop.stock(), shop.stock(shop.vase), shop.states(order), shop.states(third))
    for (person, path, body), then in zip(asked, first, strict=True):
        again = person.keyed(path, body, "one")
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (then.status_code, "true"), path
        assert again.get_json()["id"] == then.get_json()["id"]
    assert before == (shop.owned(), shop.stock(), shop.stock(shop.vase), shop.states(order), shop.states(third))
    others: list[Any] = [{"reference": "B"}, {"lines": [{"number": 2, "quantity": 2}]}, {"lines": None}]
    for other in ({name: value for name, value in (shipment | one).items() if value} for one in others):
        assert shop.other.pay(asked[2][1], other, 409, "one")["code"] == "idempotency_key_spent"
    assert shop.other.pay(asked[3][1], {"reason": "No."}, 409, "one")["code"] == "idempotency_key_spent"
    assert shop.audit() == []
