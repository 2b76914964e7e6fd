"""Wallets over HTTP: deposits, transfers, entries."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.services.commands.idempotency import KEPT
from app.services.money.orders import GRACE
from app.services.money.provider import SandboxProvider
from app.services.pages.fragments import moment
from config import Settings
from repositories.errors import Unavailable
from repositories.records.money import PROVIDER, Money, Transfer
from tests.apps import PROVED_ON_POSTGRES, Person, System, running
from tests.shop import Clock, Shop, money

pytestmark = pytest.mark.parametrize("settings", PROVED_ON_POSTGRES, indirect=True)


def sent(sender: Person, to: str, amount: Any, status: int = 201, **more: Any) -> Any:
    return sender.pay("/wallet/transfers", {"to": to, **money(amount), **more}, status)


class TickingClock(Clock):
    """Advances by a second with every call."""

    step = timedelta(seconds=1)


@pytest.fixture
def ticking(settings: Settings) -> Iterator[System]:
    with running(settings, TickingClock()) as found:
        yield found


def test_a_new_wallet_is_empty(system: System) -> None:
    ada = system.person()
    assert ada.get("/wallet") == {"items": [], "next": None}
    assert ada.get("/wallet/entries") == {"items": [], "next": None, "balance": None}
    assert ada.get("/wallet/entries", currency="EUR")["balance"] == {"amount": 0, "currency": "EUR"}


def test_money_is_deposited_and_sent(system: System) -> None:
    ada, bob = system.person(), system.person("bob")
    response = ada.keyed("/wallet/deposits", money(500), "one")
    made = response.get_json()
    assert response.headers["Location"] == f"/api/v1/wallet/transfers/{made['id']}"
    assert ada.get(f"/wallet/transfers/{made['id']}") == made
    assert (made["kind"], made["from_id"], made["to_id"]) == ("deposit", None, ada.account["id"])
    moved = sent(ada, "bob", 120)
    assert (moved["from_id"], moved["to_id"]) == (ada.account["id"], bob.account["id"])
    ada.rich(7, "JPY")
    whole = [{"amount": amount, "currency": "EUR"} for amount in (380, 0, 380)]
    assert ada.get("/wallet")["items"][0] == {
        "currency": "EUR",
        **dict(zip(("posted", "held", "available"), whole, strict=True)),
    }
    assert (bob.available(), ada.available("JPY")) == (120, 7)


def test_a_transfer_has_a_memo_for_both_and_a_reference_for_its_sender(system: System) -> None:
    ada, bob, eve = system.person().rich(100), system.person("bob"), system.person()
    words: dict[str, Any] = {"memo": "F\u00fcr die Karten \U0001f3ab", "reference": "invoice-17"}
    made = sent(ada, "bob", 5, **words)
    path = f"/wallet/transfers/{made['id']}"
    assert {name: made[name] for name in words} == words
    assert ada.get(path) == made
    assert bob.get(path) == made | {"reference": None}
    eve.get(path, 404)
    ada.get(f"/wallet/transfers/{uuid4()}", 404)
    for person, reference in ((ada, "invoice-17"), (bob, None)):
        entry = person.get("/wallet/entries")["items"][0]
        assert (entry["memo"], entry["reference"]) == (words["memo"], reference)
    plain = sent(ada, "bob", 5)
    assert (plain["memo"], plain["reference"]) == (None, None)
    for wrong in ({"memo": "x" * 141}, {"memo": ""}, {"reference": "x" * 65}, {"reference": 17}):
        sent(ada, "bob", 5, 422, **wrong)
    audit = system.container.stores.relational.audit
    assert list(audit.ledger()) == []


def test_a_hold_is_not_shown_as_a_transfer(settings: Settings) -> None:
    clock = Clock()
    with running(settings, clock) as system:
        shop = Shop(system, clock)
        order = UUID(shop.placed())
        with system.container.stores.relational.transaction() as tx:
            (hold,) = tx.ledger.open_holds(order)
        shop.buyer.get(f"/wallet/transfers/{hold.id}", 404)
        shop.after(GRACE)
        paid = shop.buyer.get("/wallet/entries")["items"][0]
        for person in (shop.buyer, shop.seller):
            found = person.get(f"/wallet/transfers/{paid['transfer_id']}")
            assert (found["kind"], found["order_id"], found["created_at"]) == ("order", str(order), paid["at"])


def test_entries_are_paged_with_running_balances(system: System) -> None:
    ada, bob = system.person(), system.person("bob")
    ada.rich(100)
    for amount in (1, 2, 3):
        sent(ada, "bob", amount)
    page = ada.get("/wallet/entries", limit=3)
    assert [(e["amount"]["amount"], e["balance"]["amount"]) for e in page["items"]] == [(-3, 94), (-2, 97), (-1, 99)]
    assert {e["other"]["id"] for e in page["items"]} == {bob.account["id"]}
    (first,) = ada.get("/wallet/entries", limit=3, cursor=page["next"], currency="EUR")["items"]
    assert (first["kind"], first["other"], first["sequence"]) == ("deposit", None, 1)
    assert page["balance"] == {"amount": 94, "currency": "EUR"}
    assert bob.get("/wallet/entries", 400, cursor=page["next"])["code"] == "bad_cursor"


def test_entries_and_balance_at_a_past_time(ticking: System) -> None:
    ada = ticking.person()
    ada.rich(100)
    (first,) = ada.get("/wallet/entries")["items"]
    ada.rich(20)
    page = ada.get("/wallet/entries", at=first["at"])
    assert ([e["amount"]["amount"] for e in page["items"]], page["balance"]["amount"]) == ([100], 100)
    assert ada.get("/wallet/entries", at="2019-12-31T23:59:59+02:00")["balance"]["amount"] == 0
    assert ada.get("/wallet/entries")["balance"]["amount"] == 120
    ada.get("/wallet/entries", at=first["at"], currency="USD")
    assert [held["currency"] for held in ada.get("/wallet")["items"]] == ["EUR"]


def test_a_future_time_is_refused(ticking: System) -> None:
    ada = ticking.person().rich(100)
    to_come = ticking.container.stores.relational.now() + timedelta(minutes=5)
    problem = ada.get("/wallet/entries", 400, at=moment(to_come))
    assert (problem["code"], "later than the time of the ledger" in problem["detail"]) == ("bad_query", True)


def test_a_balance_at_a_time_waits_for_earlier_writes(system: System) -> None:
    ada = system.person().rich(100)
    other = Person(system.app.test_client(), ada.token, ada.account)
    wanted = Transfer(uuid4(), "deposit", PROVIDER, UUID(ada.account["id"]), Money(20, "EUR"))
    with ThreadPoolExecutor(1) as pool:
        with system.container.stores.relational.transaction() as tx:
            at = moment(tx.ledger.transfer(wanted).transfer.created_at)
            reading = pool.submit(other.get, "/wallet/entries", at=at)
            # The read cannot end before the commit. If it did not wait, it would end now, with 100.
            wait([reading], timeout=0.2)
        first = reading.result()
    assert first["balance"]["amount"] == 120
    assert first == ada.get("/wallet/entries", at=at)


def test_the_times_of_entries_rise_and_are_those_of_their_transfers(settings: Settings) -> None:
    clock = Clock()
    with running(settings, clock) as system:
        shop = Shop(system, clock)
        shop.buyer.pay("/wallet/transfers", {"to": "seller", **money(5)})
        back = shop.seller.pay(f"/orders/{shop.paid()}/refunds", {})
        for person in (shop.buyer, shop.seller):
            entries = person.get("/wallet/entries")["items"]
            times = [entry["at"] for entry in entries]
            assert times == sorted(set(times), reverse=True)
            assert (entries[0]["transfer_id"], entries[0]["at"]) == (back["id"], back["created_at"])
        made = system.container.stores.relational.ledger.get([UUID(e["transfer_id"]) for e in entries])
        assert {moment(one.created_at) for one in made.values()} == set(times)


def test_with_two_currencies_one_must_be_named(system: System) -> None:
    ada = system.person().rich(1, "EUR").rich(1, "USD")
    assert ada.get("/wallet/entries", 400)["code"] == "bad_query"
    assert len(ada.get("/wallet/entries", currency="USD")["items"]) == 1


def test_refused_transfers_move_nothing(system: System) -> None:
    ada, bob = system.person("ada").rich(10), system.person("bob")
    assert sent(ada, "bob", 11, 409)["code"] == "insufficient_funds"
    assert sent(ada, "bob", 2**63 - 1, 409)["code"] == "insufficient_funds"
    assert ada.pay("/wallet/transfers", {"to": "bob", **money(1, "USD")}, 409)["code"] == "insufficient_funds"
    assert sent(ada, "ada", 1, 409)["code"] == "own_account"
    assert sent(ada, "nobody", 1, 404)["code"] == "not_found"
    sent(ada, "bob", 1, 422, tip=1)
    bob.put("/accounts/ada/block")
    assert sent(ada, "bob", 1, 403)["code"] == "blocked"
    assert sent(bob.rich(), "ada", 1, 403)["code"] == "blocked"
    assert ada.available() == 10


def test_the_sandbox_declines_and_times_out(system: System) -> None:
    ada = system.person()
    assert ada.pay("/wallet/deposits", money(40_402), 402)["code"] == "payment_declined"
    assert ada.pay("/wallet/deposits", money(2**63 - 1), 402)["code"] == "payment_declined"
    assert ada.pay("/wallet/deposits", money(40_504), 503, "never")["code"] == "payment_unknown"
    assert ada.keyed("/wallet/deposits", money(40_504), "never").headers["Retry-After"] == "1"
    assert ada.pay("/wallet/deposits", money(1), 422, "never")["code"] == "idempotency_key_reused"
    assert ada.pay("/wallet/deposits", money(40_503), 503, "slow")["code"] == "payment_unknown"
    ada.pay("/wallet/deposits", money(40_503), 201, "slow")
    assert ada.keyed("/wallet/deposits", money(40_503), "slow").headers["Idempotent-Replayed"] == "true"
    assert ada.available() == 40_503


def test_an_approved_payment_is_credited_without_a_retry(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = system.person()
    with monkeypatch.context() as dead:
        dead.setattr(system.container.commands.idempotency, "finish", refused)
        assert ada.keyed("/wallet/deposits", money(5), "one").status_code == 503
    ada.pay("/wallet/deposits", money(40_503), 503, "slow")
    ada.pay("/wallet/deposits", money(40_402), 402)
    system.relay.drain()
    assert ada.available() == 40_508
    system.relay.drain()
    ada.pay("/wallet/deposits", money(40_503), 201, "slow")
    assert ada.available() == 40_508


def test_a_deposit_credited_by_the_relay_needs_no_second_answer(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox approves 40503 again only in the process of the first call; `charge` plays another process."""
    ada = system.person()
    ada.pay("/wallet/deposits", money(40_503), 503, "slow")
    system.relay.drain()
    monkeypatch.setattr(SandboxProvider, "charge", lambda *_: "unknown")
    ada.pay("/wallet/deposits", money(40_503), 201, "slow")
    assert ada.available() == 40_503


def test_a_deposit_of_an_expired_key_needs_no_provider(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = TickingClock()
    with running(settings, clock) as system:
        ada = system.person()
        first = ada.keyed("/wallet/deposits", money(5), "one")
        clock.now += KEPT
        system.sweeper.sweep()
        monkeypatch.setattr(SandboxProvider, "charge", lambda *_: "unknown")
        again = ada.keyed("/wallet/deposits", money(5), "one")
        assert (again.status_code, again.data, again.headers["Idempotent-Replayed"]) == (201, first.data, "true")
        assert ada.available() == 5


def test_a_payment_that_stays_unknown_is_asked_about_again(system: System) -> None:
    ada = system.person()
    ada.pay("/wallet/deposits", money(40_504), 503)
    system.relay.drain()
    assert system.container.stores.relational.outbox.backlog().unsent == 1
    assert ada.available() == 0


def refused(*_: object) -> None:
    raise Unavailable("relational")
