"""Invalid bodies and queries about money. They are refused before any store is asked, so one adapter suffices."""

from typing import Any

import pytest

from tests.apps import System
from tests.shop import Shop, euros, money


@pytest.mark.parametrize("quantity", [0, -1, 1.5, 2**63, "1", True, None])
def test_invalid_quantities_are_refused(shop: Shop, quantity: object) -> None:
    body = {"lines": [{"product_id": shop.lamp, "quantity": quantity}]}
    problem = shop.buyer.pay("/orders", body, 422)
    assert [e["pointer"] for e in problem["errors"]] == ["/lines/0/quantity"]


@pytest.mark.parametrize("lines", [None, [], {}, [{}], [1]])
def test_invalid_lines_are_refused(shop: Shop, lines: object) -> None:
    shop.buyer.pay("/orders", {"lines": lines}, 422)


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "x" * 501},
        {"reason": None},
        {"restock": 1},
        {"restock": "true"},
        {"amount": euros(0)},
        {"amount": {"amount": 1, "currency": "USD"}},
        {"part": 1},
    ],
)
def test_invalid_refunds_are_refused(shop: Shop, body: Any) -> None:
    order = shop.paid()
    shop.seller.pay(f"/orders/{order}/refunds", body, 422)
    assert shop.state(order) == "paid"


@pytest.mark.parametrize(
    "at", ["", "now", "2030-01-01", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"]
)
def test_invalid_times_are_refused(system: System, at: str) -> None:
    assert system.person().get("/wallet/entries", 400, at=at)["code"] == "bad_query"


def test_digits_of_a_time_beyond_microseconds_are_ignored(system: System) -> None:
    period: Any = {
        "currency": "EUR",
        "from": "2020-01-01T00:00:00.123456789Z",
        "to": "2020-01-01T02:00:00.5000000+02:00",
    }
    statement = system.person().get("/wallet/statement", **period)
    assert (statement["from"], statement["to"]) == ("2020-01-01T00:00:00.123456Z", "2020-01-01T00:00:00.500000Z")


@pytest.mark.parametrize("amount", [0, -1, 1.5, 2**63, 10**30, "1", True, None])
def test_invalid_amounts_are_refused(system: System, amount: object) -> None:
    ada = system.person().rich()
    system.person("bob")
    problem = ada.pay("/wallet/transfers", {"to": "bob"} | money(amount), 422)
    assert [e["pointer"] for e in problem["errors"]] == ["/amount/amount"]
    problem = ada.pay("/wallet/deposits", money(amount), 422)
    assert [e["pointer"] for e in problem["errors"]] == ["/amount/amount"]
    assert ada.available() == 1_000_000


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "E1R", "EU\0", 978, None, "ABC", "DEM", "XTS", "XAU"])
def test_invalid_currencies_are_refused(system: System, currency: object) -> None:
    ada, bob = system.person(), system.person()
    for path, body in (("/wallet/deposits", {}), ("/wallet/transfers", {"to": bob.handle})):
        problem = ada.pay(path, body | money(1, currency), 422)
        assert [e["pointer"] for e in problem["errors"]] == ["/amount/currency"]
