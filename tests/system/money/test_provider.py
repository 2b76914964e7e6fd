"""`quartet doctor provider` finds every difference between the provider's list and the ledger."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, update

from app.cli import main
from app.services.money import reconciliation
from app.services.money.reconciliation import Reconciliation
from repositories.records.money import PROVIDER, Money, Transfer
from repositories.records.payments import DEPOSIT, Payment
from repositories.relational.schema.money_tables import transfers
from repositories.relational.schema.tables import sandbox_payments
from tests.contracts.money import without_triggers
from tests.contracts.transactions import sql
from tests.shop import Shop, euros
from tests.system.money.differences import BEGINNING, differences

Change = Callable[[Shop], Any]


def paid(shop: Shop, what: str, amount: int = 7, status: int = 201) -> UUID:
    """Make a payment; returns its reference."""
    made = shop.buyer.pay(f"/wallet/{what}", {"amount": euros(amount)}, status)
    return UUID(made["id"]) if status == 201 else newest_payout(shop)


def newest_payout(shop: Shop) -> UUID:
    return UUID(shop.buyer.get("/wallet/payouts")["items"][0]["id"])


def alter_at_provider(shop: Shop, reference: UUID, **values: Any) -> None:
    """Alter the provider's record of a payment; without values, delete it."""
    this = sandbox_payments.c.reference == reference
    change = update(sandbox_payments).where(this).values(values) if values else delete(sandbox_payments).where(this)
    sql(shop.system.container.stores.relational, change)


def alter_in_ledger(shop: Shop, reference: UUID, **values: Any) -> None:
    store = shop.system.container.stores.relational
    without_triggers(store)
    sql(store, update(transfers).where(transfers.c.id == reference).values(values))


def charge_at_provider_only(shop: Shop) -> None:
    shop.system.container.money.payments.provider.charge(uuid4(), Money(7, "EUR"))


def pay_out_at_provider_only(shop: Shop) -> None:
    shop.system.container.money.payments.provider.pay_out(uuid4(), Money(7, "EUR"))


def credit_in_ledger_only(shop: Shop) -> None:
    own = Transfer(uuid4(), DEPOSIT, PROVIDER, UUID(shop.buyer.account["id"]), Money(7, "EUR"))
    with shop.system.container.stores.relational.transaction() as tx:
        assert tx.ledger.transfer(own).transfer.id == own.id


FOUND: dict[str, tuple[Change, str]] = {
    "a charge without a deposit": (charge_at_provider_only, "deposit of 7 EUR approved only at the provider"),
    "a payout of which the ledger knows nothing": (
        pay_out_at_provider_only,
        "payout of 7 EUR approved only at the provider",
    ),
    "a deposit without a charge": (credit_in_ledger_only, "deposit of 7 EUR approved only in the ledger"),
    "a charge that is gone": (
        lambda s: alter_at_provider(s, paid(s, "deposits")),
        "deposit of 7 EUR approved only in the ledger",
    ),
    "a payout that is gone": (
        lambda s: alter_at_provider(s, paid(s, "payouts")),
        "payout of 7 EUR approved only in the ledger",
    ),
    "another amount there": (
        lambda s: alter_at_provider(s, paid(s, "deposits"), amount=8),
        "8 EUR at the provider, 7 EUR in the ledger",
    ),
    "another amount here": (
        lambda s: alter_in_ledger(s, paid(s, "deposits"), amount=8),
        "7 EUR at the provider, 8 EUR in the ledger",
    ),
    "another currency": (
        lambda s: alter_at_provider(s, paid(s, "payouts"), currency="USD"),
        "7 USD at the provider, 7 EUR in the ledger",
    ),
    "another kind": (
        lambda s: alter_at_provider(s, paid(s, "payouts"), kind="deposit"),
        "a deposit at the provider, a payout in the ledger",
    ),
    "declined there": (
        lambda s: alter_at_provider(s, paid(s, "deposits"), state="declined"),
        "declined at the provider, approved in the ledger",
    ),
    "taken back there": (
        lambda s: alter_at_provider(s, paid(s, "payouts"), state="declined"),
        "declined at the provider, approved in the ledger",
    ),
    "freed here, and paid there": (
        lambda s: alter_at_provider(s, paid(s, "payouts", 40_402, 402), state="approved"),
        "approved at the provider, declined in the ledger",
    ),
    "held here, and paid there": (
        lambda s: alter_at_provider(s, paid(s, "payouts", 40_504, 503), state="approved"),
        "approved at the provider, pending in the ledger",
    ),
    "open on both sides": (lambda s: paid(s, "payouts", 40_504, 503), "still open on both sides"),
    "a deposit that is open": (
        lambda s: s.buyer.pay("/wallet/deposits", {"amount": euros(40_504)}, 503),
        "deposit of 40504 EUR pending only at the provider",
    ),
    "a payout that the provider was never asked for": (
        lambda s: alter_at_provider(s, paid(s, "payouts", 40_504, 503)),
        "payout of 40504 EUR pending only in the ledger",
    ),
}


@pytest.fixture
def traded(shop: Shop) -> Shop:
    """A shop with deposits and payouts of each outcome, on which both sides agree."""
    shop.buyer.rich(100_000)
    for what in ("deposits", "payouts"):
        for amount, status in ((5, 201), (40_402, 402), (40_503, 503)):
            shop.buyer.pay(f"/wallet/{what}", {"amount": euros(amount)}, status)
    shop.system.relay.drain()
    assert differences(shop) == []
    return shop


@pytest.mark.parametrize("name", FOUND)
def test_every_difference_is_found_and_named(traded: Shop, name: str) -> None:
    change, problem = FOUND[name]
    change(traded)
    assert [one.problem for one in differences(traded)] == [problem]


def test_a_payment_in_progress_is_no_difference(traded: Shop) -> None:
    """The ledger gets the payment while the doctor waits before it looks again."""
    provider, container = traded.system.container.money.payments.provider, traded.system.container
    traded.buyer.pay("/wallet/payouts", {"amount": euros(40_503)}, 503)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        traded.system.relay.drain()

    work = Reconciliation(container.stores.relational, provider, 15, sleep=sleep, elapsed=lambda: 0.0)
    assert list(work.differences(BEGINNING, container.stores.relational.now() + timedelta(days=1))) == []
    assert waited == [15]


@pytest.mark.parametrize("most", [1, 3])
def test_memory_is_bounded(traded: Shop, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """With pages of two, and at most `most` payments that wait for their counterpart."""
    monkeypatch.setattr(reconciliation, "PAGE", 2)
    monkeypatch.setattr(reconciliation, "MOST", most)
    for name in ("a charge without a deposit", "a deposit without a charge", "another amount there"):
        FOUND[name][0](traded)
    assert len({one.reference for one in differences(traded)}) == 3


def test_the_command_prints_differences_and_exits_with_1(traded: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    container = traded.system.container
    for name in container.settings.__dataclass_fields__:
        value = getattr(container.settings, name)
        if name.endswith(("_url", "_folder")) and value:
            monkeypatch.setenv(f"QUARTET_{name.upper()}", value)

    def run(*options: str) -> Result:
        return CliRunner().invoke(main, ["doctor", "provider", "--patience", "0", *options])

    # The command uses the real time, also for an embedded database.
    to = ("--to", "2040-01-01T00:00:00Z")
    assert (run(*to).exit_code, "provider and ledger agree" in run(*to).output) == (0, True)
    charge_at_provider_only(traded)
    ended = run(*to)
    assert (ended.exit_code, "deposit of 7 EUR approved only at the provider" in ended.output) == (1, True)
    found, total = map(json.loads, run(*to, "--json").output.splitlines())
    assert (found["theirs"]["money"], found["ours"]) == (euros(7), None)
    assert total["differences"] == 1
    assert total["compared"] > 5
    assert run("--from", "2035-01-01").exit_code == 0
    assert run("--to", "yesterday").exit_code == 2


def test_the_provider_finds_a_seeded_payment(shop: Shop) -> None:
    """`quartet seed` adds payments like this."""
    own = Payment(uuid4(), "deposit", Money(7, "EUR"), "approved", BEGINNING)
    with shop.system.container.stores.relational.transaction() as tx:
        assert tx.sandbox.add([own, own]) == 1
        assert tx.sandbox.add([own]) == 0
    assert shop.system.container.money.payments.provider.find(own.reference) == own
