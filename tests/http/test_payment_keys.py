"""The idempotency key of a deposit or payout belongs to one payment: with another body it is refused as long as the
payment is known.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from app.services.commands.idempotency import KEPT, Attempt
from app.services.money.provider import SandboxProvider
from repositories.records.idempotency import RequestKey
from repositories.records.money import PROVIDER, Money, Transfer
from repositories.records.payments import DEPOSIT, Payment
from tests.apps import RELATIONAL, Person, System
from tests.settable_clock import Clock
from tests.shop import money

pytestmark = pytest.mark.parametrize("settings", RELATIONAL, indirect=True)

BOTH = pytest.mark.parametrize("path", ["/wallet/deposits", "/wallet/payouts"])
# Amounts, and the sandbox's answer to each.
FIRST = [(5, 201, ""), (40_402, 402, "payment_declined"), (40_504, 503, "payment_unknown")]
RICH = 100_000


@pytest.fixture
def clock(settable: Clock) -> Clock:
    return settable


@pytest.fixture
def system(audited: System) -> System:
    return audited


@pytest.fixture
def ada(system: System) -> Person:
    return system.person("ada").rich(RICH)


def forget_keys(system: System, clock: Clock) -> None:
    clock.now += KEPT + timedelta(minutes=1)
    system.sweeper.sweep()


def state(system: System, ada: Person) -> tuple[Any, int]:
    """The wallet, and the number of payments that the provider was asked for."""
    sandbox = system.container.stores.relational.sandbox
    now = system.container.stores.relational.now()
    asked = sandbox.between(now - timedelta(days=999), now + timedelta(days=1), after=None, limit=99)
    return ada.get("/wallet")["items"], len(asked)


@BOTH
@pytest.mark.parametrize(("amount", "status", "code"), FIRST)
def test_another_body_is_always_refused(
    system: System, clock: Clock, ada: Person, path: str, amount: int, status: int, code: str
) -> None:
    ada.keyed(path, money(amount), "one")
    before = state(system, ada)
    for other in (money(amount + 1), money(amount, "USD")):
        assert ada.pay(path, other, 422, "one")["code"] == "idempotency_key_reused"
    for _ in range(2):
        forget_keys(system, clock)
        for other in (money(amount + 1), money(amount, "USD")):
            assert ada.pay(path, other, 409, "one")["code"] == "idempotency_key_spent"
        system.relay.drain()
        again = ada.keyed(path, money(amount), "one")
        assert (again.status_code, again.get_json(force=True).get("code", "")) == (status, code)
        assert state(system, ada) == before


@BOTH
def test_a_refusal_before_the_provider_leaves_the_key_free(ada: Person, path: str) -> None:
    """The refusal is our own, so the provider was asked for nothing."""
    ada.pay(path, money(0), 422, "one")
    if path == "/wallet/payouts":
        assert ada.pay(path, money(RICH + 1), 409, "one")["code"] == "insufficient_funds"
    ada.pay(path, money(7), 201, "one")


def test_a_key_is_valid_for_one_route(system: System, clock: Clock, ada: Person) -> None:
    ada.pay("/wallet/deposits", money(5), 201, "one")
    for _ in range(2):
        ada.pay("/wallet/payouts", money(7), 201, "one")
        forget_keys(system, clock)
    assert ada.available() == RICH - 2


@BOTH
@pytest.mark.parametrize("theirs", [("deposit", 39, "EUR"), ("payout", 39, "EUR"), ("other kind", 40, "EUR")])
def test_a_provider_with_another_payment_under_the_reference_moves_nothing(
    system: System, ada: Person, monkeypatch: pytest.MonkeyPatch, path: str, theirs: tuple[str, int, str]
) -> None:
    """Neither the request nor the relay moves money; that of a payout stays held."""
    kind, amount, currency = theirs
    if kind == "other kind":
        kind = "payout" if path == "/wallet/deposits" else "deposit"

    def find(_: object, reference: UUID) -> Payment:
        return Payment(reference, kind, Money(amount, currency), "approved", datetime.now(UTC))  # type: ignore[arg-type]

    with monkeypatch.context() as away:
        away.setattr(SandboxProvider, "_ask", lambda *_: "unknown")
        ada.pay(path, money(40), 503, "one")
    before = state(system, ada)
    monkeypatch.setattr(SandboxProvider, "find", find)
    for _ in range(2):
        assert ada.pay(path, money(40), 409, "one")["code"] == "idempotency_key_spent"
        system.relay.drain()
        assert state(system, ada) == before
    assert [one["state"] for one in ada.get("/wallet/payouts")["items"]] == ["pending"] * (path == "/wallet/payouts")
    assert system.container.stores.relational.outbox.backlog().dead_lettered == 0


def test_a_deposit_of_an_earlier_version_is_found(system: System, ada: Person) -> None:
    """Earlier versions derived the reference from the body as well."""
    attempt = _attempt(ada)
    former = attempt.id(f"{DEPOSIT} {attempt.fingerprint.hex()}")
    with system.container.stores.relational.transaction() as tx:
        tx.ledger.transfer(Transfer(former, DEPOSIT, PROVIDER, UUID(ada.account["id"]), Money(5, "EUR")))
    before = state(system, ada)
    again = ada.keyed("/wallet/deposits", money(5), "one")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert (again.get_json()["id"], state(system, ada)) == (str(former), before)


def test_a_deposit_that_an_earlier_version_left_open_keeps_its_reference(system: System, ada: Person) -> None:
    """Otherwise the provider would be asked for two payments."""
    former, once = uuid4(), system.container.commands.idempotency
    once.end_lease(once.begin(_attempt(ada), former))
    made = ada.pay("/wallet/deposits", money(5), 201, "one")
    assert made["id"] == str(former)
    system.relay.drain()
    assert ada.available() == RICH + 5


def _attempt(person: Person) -> Attempt:
    """The attempt of a deposit of 5 with the key `one`."""
    body = msgspec.json.encode([{"amount": Money(5, "EUR")}], order="sorted")
    key = RequestKey(UUID(person.account["id"]), "POST /api/v1/wallet/deposits", "one")
    return Attempt(key, hashlib.sha256(body).digest())
