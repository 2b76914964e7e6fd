"""Payouts: money that leaves a wallet through the payment provider."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from app.services.commands.idempotency import KEPT
from app.services.money.provider import SandboxProvider
from repositories.errors import Unavailable
from repositories.records.money import Money
from tests.apps import PROVED_ON_POSTGRES, Person, System
from tests.settable_clock import Clock
from tests.shop import money

pytestmark = pytest.mark.parametrize("settings", PROVED_ON_POSTGRES, indirect=True)

HELD, GONE = (100_000, 40_504), (100_000, 0)


@pytest.fixture
def clock(settable: Clock) -> Clock:
    return settable


@pytest.fixture
def system(audited: System) -> System:
    return audited


@pytest.fixture
def ada(system: System) -> Person:
    return system.person("ada").rich(100_000)


def owned(person: Person) -> tuple[int, int]:
    (found,) = person.get("/wallet")["items"]
    return found["posted"]["amount"], found["held"]["amount"]


def asked(system: System) -> list[tuple[str, int, str]]:
    """The payments that the provider was asked for, without the first deposit."""
    provider, now = system.container.money.payments.provider, system.container.stores.relational.now()
    found = provider.between(datetime(2000, 1, 1, tzinfo=UTC), now + timedelta(days=1), after=None, limit=99)
    return [(one.kind, one.money.amount, one.state) for one in found[1:]]


def test_money_is_paid_out(system: System, ada: Person) -> None:
    response = ada.keyed("/wallet/payouts", money(500), "one")
    made = response.get_json()
    assert response.headers["Location"] == f"/api/v1/wallet/payouts/{made['id']}"
    assert (made["state"], made["amount"]) == ("approved", {"amount": 500, "currency": "EUR"})
    assert made["created_at"] < made["ended_at"]
    assert ada.get(f"/wallet/payouts/{made['id']}") == made
    assert ada.keyed("/wallet/payouts", money(500), "one").data == response.data
    assert (owned(ada), asked(system)) == ((99_500, 0), [("payout", 500, "approved")])
    entry = ada.get("/wallet/entries")["items"][0]
    assert (entry["kind"], entry["other"], entry["amount"]["amount"]) == ("payout", None, -500)
    moved = ada.get(f"/wallet/transfers/{entry['transfer_id']}")
    assert (moved["kind"], moved["from_id"], moved["to_id"]) == ("payout", ada.account["id"], None)


def test_a_payout_is_visible_only_to_its_owner(system: System, ada: Person) -> None:
    made = ada.pay("/wallet/payouts", money(5))
    other = system.person().rich(5)
    other.get(f"/wallet/payouts/{made['id']}", 404)
    (deposit,) = other.get("/wallet/entries")["items"]
    other.get(f"/wallet/payouts/{deposit['transfer_id']}", 404)
    assert other.get("/wallet/payouts")["items"] == []


def test_payouts_are_listed_newest_first(ada: Person) -> None:
    made = [ada.pay("/wallet/payouts", money(amount))["id"] for amount in (1, 2, 3)]
    ada.pay("/wallet/payouts", money(40_402), 402)
    page = ada.get("/wallet/payouts", limit=3)
    assert [one["state"] for one in page["items"]] == ["declined", "approved", "approved"]
    (last,) = ada.get("/wallet/payouts", limit=3, cursor=page["next"])["items"]
    assert [*(one["id"] for one in page["items"][1:]), last["id"]] == made[::-1]


def test_more_than_is_available_is_refused_before_the_provider_is_asked(system: System, ada: Person) -> None:
    assert ada.pay("/wallet/payouts", money(100_001), 409, "one")["code"] == "insufficient_funds"
    assert ada.pay("/wallet/payouts", money(1, "USD"), 409)["code"] == "insufficient_funds"
    assert (asked(system), ada.get("/wallet/payouts")["items"]) == ([], [])
    ada.pay("/wallet/payouts", money(100_000), 201, "one")
    for wrong in (0, -1, 2**63, "1"):
        ada.pay("/wallet/payouts", {"amount": {"amount": wrong, "currency": "EUR"}}, 422)


def test_a_declined_payout_frees_the_money(system: System, ada: Person) -> None:
    for _ in range(2):
        assert ada.pay("/wallet/payouts", money(40_402), 402, "one")["code"] == "payment_declined"
    assert (owned(ada), asked(system)) == (GONE, [("payout", 40_402, "declined")])
    (found,) = ada.get("/wallet/payouts")["items"]
    assert (found["state"], found["ended_at"] > found["created_at"]) == ("declined", True)
    system.relay.drain()
    assert owned(ada) == GONE


def test_money_of_an_unknown_payout_stays_held(system: System, ada: Person, clock: Clock) -> None:
    assert ada.pay("/wallet/payouts", money(40_504), 503, "never")["code"] == "payment_unknown"
    assert ada.pay("/wallet/payouts", money(5), 422, "never")["code"] == "idempotency_key_reused"
    (found,) = ada.get("/wallet/payouts")["items"]
    assert (owned(ada), found["state"], found["ended_at"]) == (HELD, "pending", None)
    assert ada.send("GET", f"/wallet/payouts/{found['id']}").headers["ETag"].startswith('"1-')
    for _ in range(3):
        system.relay.drain()
        clock.now += timedelta(days=400)
        system.sweeper.sweep()
    ada = Person(ada.client, ada.client.post("/api/v1/sessions", json=login()).get_json()["token"], ada.account)
    assert owned(ada) == HELD
    ada.pay("/wallet/payouts", money(40_504), 503, "never")
    assert (owned(ada), asked(system)[-1:]) == (HELD, [("payout", 40_504, "pending")])


def login() -> dict[str, str]:
    return {"login": "ada", "password": "correct horse battery staple"}


def test_a_payout_that_timed_out_is_paid_once(system: System, ada: Person) -> None:
    ada.pay("/wallet/payouts", money(40_503), 503, "slow")
    assert owned(ada) == (100_000, 40_503)
    first = ada.keyed("/wallet/payouts", money(40_503), "slow")
    assert first.status_code == 201
    system.relay.drain()
    assert ada.keyed("/wallet/payouts", money(40_503), "slow").data == first.data
    assert (owned(ada), asked(system)) == ((59_497, 0), [("payout", 40_503, "approved")])


def test_the_relay_completes_it_without_a_second_payout(
    system: System, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.pay("/wallet/payouts", money(40_503), 503, "slow")
    with monkeypatch.context() as away:
        away.setattr(SandboxProvider, "pay_out", lambda *_: "unknown")
        system.relay.drain()
        assert owned(ada) == (59_497, 0)
        found = ada.keyed("/wallet/payouts", money(40_503), "slow")
    assert (found.status_code, found.headers["Idempotent-Replayed"]) == (201, "true")
    assert found.get_json() == ada.get(f"/wallet/payouts/{found.get_json()['id']}")


def test_an_expired_key_finds_the_outcome(
    system: System, ada: Person, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ada.keyed("/wallet/payouts", money(5), "one")
    ada.pay("/wallet/payouts", money(40_402), 402, "declined")
    clock.now += KEPT + timedelta(minutes=1)
    system.sweeper.sweep()
    for method in ("pay_out", "find"):
        monkeypatch.setattr(SandboxProvider, method, refused)
    again = ada.keyed("/wallet/payouts", money(5), "one")
    assert (again.status_code, again.data, again.headers["Idempotent-Replayed"]) == (201, first.data, "true")
    assert ada.pay("/wallet/payouts", money(40_402), 402, "declined")["code"] == "payment_declined"
    assert owned(ada) == (99_995, 0)


@pytest.mark.parametrize(("amount", "owned_then"), [(5, (99_995, 0)), (40_402, GONE)])
def test_an_answer_that_cannot_be_stored_is_rebuilt(
    system: System, ada: Person, monkeypatch: pytest.MonkeyPatch, amount: int, owned_then: tuple[int, int]
) -> None:
    once = system.container.commands.idempotency
    with monkeypatch.context() as dead:
        for step in ("_finish", "_abandon", "_end_lease"):
            dead.setattr(once, step, refused)
        ada.keyed("/wallet/payouts", money(amount), "one")
    assert owned(ada) == (100_000, amount)
    system.relay.drain()
    assert owned(ada) == owned_then
    assert ada.keyed("/wallet/payouts", money(amount), "one").status_code == (201 if amount == 5 else 402)
    assert (owned(ada), len(asked(system))) == (owned_then, 1)


def test_an_unreachable_provider_leaves_it_open(system: System, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as away:
        away.setattr(SandboxProvider, "_ask", lambda *_: "unknown")
        ada.pay("/wallet/payouts", money(5), 503, "one")
        system.relay.drain()
        assert owned(ada) == (100_000, 5)
        ada.pay("/wallet/payouts", money(5), 503, "one")
    ada.pay("/wallet/payouts", money(5), 201, "one")
    system.relay.drain()
    assert (owned(ada), asked(system)) == ((99_995, 0), [("payout", 5, "approved")])


def test_a_reference_always_belongs_to_one_payment(system: System, ada: Person) -> None:
    provider, reference = system.container.money.payments.provider, uuid4()
    assert provider.find(reference) is None
    assert provider.charge(reference, Money(7, "EUR")) == "approved"
    assert provider.charge(reference, Money(8, "EUR")) == "differs"
    assert provider.charge(reference, Money(7, "USD")) == "differs"
    assert provider.pay_out(reference, Money(7, "EUR")) == "differs"
    assert provider.charge(reference, Money(7, "EUR")) == "approved"
    found = provider.find(reference)
    assert found is not None
    assert (found.kind, found.money, found.state) == ("deposit", Money(7, "EUR"), "approved")
    assert UUID(ada.account["id"]) != reference


def refused(*_: object) -> None:
    raise Unavailable("relational")
