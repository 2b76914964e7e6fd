"""Wallets: deposits from the payment provider, transfers between people. Balances and entries are read from the port.

A transfer is one relational transaction: claim, movement and answer. A deposit is three steps: the claim is
committed, the provider is asked, the money is credited together with the answer. The provider's reference is the
transfer's id, which derives from the key: whoever retries after a crash asks about the same payment and credits it
once. A payment that was approved and never retried is in the provider's books under a reference that the ledger does
not have.
"""

from uuid import UUID

from app.clock import Clock
from app.errors import Missing, PaymentDeclined, PaymentUnknown, RuleBroken
from app.services.graph import refuse_blocked
from app.services.idempotency import Once, Receipt
from app.services.payments import PaymentProvider
from repositories.money_records import PROVIDER, Answer, Transfer
from repositories.records import Money
from repositories.relational import Relational, Transaction


class Wallets:
    def __init__(self, relational: Relational, once: Once, provider: PaymentProvider, clock: Clock) -> None:
        self._relational = relational
        self._once = once
        self._provider = provider
        self._clock = clock

    def deposit(self, owner: UUID, money: Money, receipt: Receipt[Transfer]) -> Answer:
        """Raises `PaymentDeclined`, `PaymentUnknown`, and what `Once` raises."""
        reference = receipt.attempt.id("deposit")
        begun = self._once.begin(receipt.attempt, reference)
        outcome = self._provider.charge(reference, money)
        if outcome == "declined":
            self._once.abandon(begun)
            raise PaymentDeclined("the payment provider has declined")
        if outcome == "unknown":
            self._once.let_go(begun)
            raise PaymentUnknown("the payment provider has not answered; try again with the same Idempotency-Key")
        made = Transfer(reference, "deposit", PROVIDER, owner, money, self._clock())
        return self._once.finish(begun, receipt, lambda tx: tx.ledger.transfer(made))

    def send(self, sender: UUID, to: str, money: Money, receipt: Receipt[Transfer]) -> Answer:
        """Raises `Missing`, `RuleBroken` for oneself, `Forbidden` with code `blocked`, `Insufficient`, as `Once`."""
        return self._once.run(receipt, lambda: self._planned(sender, to, money, receipt), _transfer)

    def _planned(self, sender: UUID, to: str, money: Money, receipt: Receipt[Transfer]) -> Transfer:
        found = self._relational.accounts.by_handle(to)
        if found is None:
            raise Missing("there is no account with this handle")
        if found.id == sender:
            raise RuleBroken("this cannot be done with one's own account", code="own_account")
        return Transfer(receipt.attempt.id("transfer"), "transfer", sender, found.id, money, self._clock())


def _transfer(tx: Transaction, wanted: Transfer) -> Transfer:
    refuse_blocked(tx, wanted.debit, wanted.credit)
    return tx.ledger.transfer(wanted)
