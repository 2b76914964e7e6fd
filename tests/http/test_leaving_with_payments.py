"""Deletion of an account while the outcome of a deposit or a payout is unknown."""

from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from app.errors import Missing
from app.services.commands.idempotency import Attempt, Receipt
from app.services.money import pricing
from app.services.money.payments import Payments
from repositories.records.idempotency import Answer, RequestKey
from repositories.records.money import Money
from tests.apps import PASSWORD, PROVED_ON_POSTGRES, Person, System
from tests.settable_clock import Clock
from tests.shop import Shop, money

pytestmark = pytest.mark.parametrize("settings", PROVED_ON_POSTGRES, indirect=True)
BOTH = pytest.mark.parametrize("path", ["/wallet/deposits", "/wallet/payouts"])
SLOW, DECLINED, NEVER, RICH = 40_503, 40_402, 40_504, 100_000


@pytest.fixture
def clock(settable: Clock) -> Clock:
    return settable


@pytest.fixture
def system(audited: System) -> System:
    return audited


@pytest.fixture
def ada(system: System) -> Person:
    return system.person("ada").rich(RICH)


def leave(who: Person, status: int = 204, **more: Any) -> str:
    """Delete the account; returns the problem's code, or an empty string."""
    answer = who.send("DELETE", "/accounts/me", json={"password": PASSWORD, **more})
    assert answer.status_code == status, answer.get_data(as_text=True)
    return str(answer.get_json(force=True)["code"]) if answer.data else ""


def emptied(system: System, who: Person) -> None:
    (found,) = who.get("/wallet")["items"]
    if left := found["available"]["amount"]:
        who.pay("/wallet/transfers", {"to": system.person().handle, **money(left)})


def later(system: System, clock: Clock) -> None:
    clock.now += timedelta(minutes=20)
    system.relay.drain()


@BOTH
def test_payments_with_a_known_outcome_allow_the_deletion(system: System, ada: Person, path: str) -> None:
    """Payments with a known outcome do not prevent the deletion, even before the relay has handled any event."""
    ada.pay(path, money(5))
    ada.pay(path, money(DECLINED), 402)
    ada.pay(path, money(SLOW), 503, "slow")
    ada.pay(path, money(SLOW), 201, "slow")
    emptied(system, ada)
    leave(ada)


@BOTH
def test_an_unknown_outcome_delays_the_deletion_until_it_is_known(
    system: System, clock: Clock, ada: Person, path: str
) -> None:
    ada.pay(path, money(SLOW), 503, "slow")
    assert leave(ada, 409) == "payments_open"
    assert ada.get("/accounts/me"), "nothing has happened"
    later(system, clock)
    if path == "/wallet/deposits":
        assert ada.available() == RICH + SLOW
    emptied(system, ada)
    leave(ada)


@BOTH
def test_an_outcome_never_known_needs_forfeit(system: System, clock: Clock, ada: Person, path: str) -> None:
    """Even after the idempotency key has expired."""
    ada.pay(path, money(NEVER), 503)
    for _ in range(2):
        clock.now += timedelta(days=2)
        system.sweeper.sweep()
        later(system, clock)
        assert leave(ada, 409, forfeit=False) == "payments_open"
    leave(ada, forfeit=True)
    later(system, clock)


def test_a_late_deposit_of_a_deleted_account_is_in_the_ledger(system: System, clock: Clock, ada: Person) -> None:
    ada.pay("/wallet/deposits", money(SLOW), 503)
    leave(ada, forfeit=True)
    later(system, clock)
    (balance,) = system.container.stores.relational.ledger.wallet(UUID(ada.account["id"]))
    assert balance.posted == RICH + SLOW


@BOTH
def test_a_request_under_way_makes_no_payment_after_the_deletion(system: System, ada: Person, path: str) -> None:
    """The request was authenticated before the deletion, and makes its first write after it."""
    payments, owner = system.container.money.payments, UUID(ada.account["id"])
    leave(ada, forfeit=True)
    attempt = Attempt(RequestKey(owner, "POST /x", "k"), b"")
    begin = Payments.deposit if path == "/wallet/deposits" else Payments.pay_out
    with patch.object(payments.provider, "charge") as charge, patch.object(payments.provider, "pay_out") as pay_out:
        with pytest.raises(Missing):
            begin(payments, owner, Money(5, "EUR"), Receipt(attempt, lambda _: Answer(201, {}, b"")))
        assert (charge.call_count, pay_out.call_count) == (0, 0)
    system.relay.drain()


@BOTH
def test_a_retry_that_dies_after_the_relay_leaves_nothing_open(
    system: System, clock: Clock, ada: Person, path: str
) -> None:
    """The relay completes the payment after the retry has read the ledger, and before it claims the key."""
    payments = system.container.money.payments
    ada.pay(path, money(SLOW), 503, "slow")
    look = payments._known

    def late(*asked: Any) -> Any:
        found = look(*asked)
        later(system, clock)
        return found

    dying = patch.object(payments._idempotency, "finish", side_effect=SystemExit)
    with patch.object(payments, "_known", late), dying, pytest.raises(SystemExit):
        ada.keyed(path, money(SLOW), "slow")
    assert leave(ada, 409) == "payments_open"
    later(system, clock)
    emptied(system, ada)
    leave(ada)


@pytest.mark.parametrize("who", ["buyer", "seller"])
def test_no_order_is_placed_with_an_account_deleted_meanwhile(shop: Shop, who: str) -> None:
    """The order was priced before. Otherwise its seller, who is gone, could neither send nor refund it."""
    buyer, price, leaving = shop.buyer, pricing.priced, [getattr(shop, who)]

    def slowly(*asked: Any) -> Any:
        found = price(*asked)
        while leaving:
            leave(leaving.pop(), forfeit=True)
        return found

    with patch("app.services.money.orders.priced", slowly):
        refused = buyer.keyed("/orders", {"lines": [{"product_id": shop.lamp, "quantity": 1}]}, "k")
    assert refused.status_code == (404 if who == "buyer" else 422)
    owner = UUID(buyer.account["id"])
    assert shop.system.container.stores.relational.ledger.wallet(owner)[0].held == 0
