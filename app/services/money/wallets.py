"""Wallets: deposits from the payment provider, transfers between people. Balances and entries are read from the port.

A transfer is one relational transaction: claim, movement and answer. A deposit is three steps: the claim is
committed, the provider is asked, the money is credited together with the answer. The provider's reference is the
transfer's id, which derives from the key and the body: whoever asks again after a crash asks about the same payment
and credits it once. That is the client with the same key, or else the relay: the claim is committed with an event,
and its handler sees to it that a payment that was approved is credited, whether anybody retries or not.
"""

from uuid import UUID

from app.errors import Missing, PaymentDeclined, PaymentUnknown, RuleBroken
from app.events import DepositBegun
from app.services.commands.idempotency import Once, Receipt
from app.services.commands.kit import Kit
from app.services.money.payments import PaymentProvider
from app.services.people.graph import refuse_blocked
from repositories.money_records import PROVIDER, Answer, Transfer
from repositories.records import Money
from repositories.relational import Relational, Transaction


class Wallets:
    def __init__(self, relational: Relational, once: Once, provider: PaymentProvider, kit: Kit) -> None:
        self._relational = relational
        self._once = once
        self._provider = provider
        self._clock = kit.clock
        self._retry = kit.retry
        self._pack = kit.emitter

    def deposit(self, owner: UUID, money: Money, receipt: Receipt[Transfer]) -> Answer:
        """Raises `PaymentDeclined`, `PaymentUnknown`, and what `Once` raises."""
        reference = receipt.attempt.id(f"deposit {receipt.attempt.fingerprint.hex()}")
        event = DepositBegun(reference, owner, money.amount, money.currency)
        begun = self._once.begin(receipt.attempt, reference, self._pack(event))
        outcome = self._provider.charge(reference, money)
        if outcome == "declined":
            self._once.abandon(begun)
            raise PaymentDeclined("the payment provider has declined")
        if outcome == "unknown":
            self._once.let_go(begun)
            raise PaymentUnknown("the payment provider has not answered; try again with the same Idempotency-Key")
        made = self._deposit(reference, owner, money)
        return self._once.finish(begun, receipt, lambda tx: tx.ledger.transfer(made))

    def complete(self, reference: UUID, owner: UUID, money: Money) -> None:
        """Credit the deposit if the provider has approved it. Idempotent. Raises `PaymentUnknown`."""
        if self._relational.ledger.get([reference]):
            return
        outcome = self._provider.charge(reference, money)
        if outcome == "unknown":
            raise PaymentUnknown("the payment provider has not answered")
        if outcome == "approved":
            self._retry(lambda: self._credit(self._deposit(reference, owner, money)))

    def send(self, sender: UUID, to: str, money: Money, receipt: Receipt[Transfer]) -> Answer:
        """Raises `Missing`, `RuleBroken` for oneself, `Forbidden` with code `blocked`, `Insufficient`, as `Once`."""
        return self._once.run(receipt, lambda: self._planned(sender, to, money, receipt), _transfer)

    def _deposit(self, reference: UUID, owner: UUID, money: Money) -> Transfer:
        return Transfer(reference, "deposit", PROVIDER, owner, money, self._clock())

    def _credit(self, made: Transfer) -> None:
        with self._relational.transaction() as tx:
            tx.ledger.transfer(made)

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
