"""Wallets: deposits from the payment provider, and transfers between accounts.

A transfer is one relational transaction: claim, ledger transfer and answer. A deposit has three steps: commit the
claim, charge the provider, credit the money together with the answer. The reference given to the provider is the id of
the ledger transfer. It is derived from the idempotency key and the body, so every retry concerns the same payment and
credits it once. The client may retry with the same key. If it does not, the handler of `DepositBegun`, which was
committed with the claim, credits an approved payment.
"""

import contextlib
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.errors import BadRequest, KeySpent, Missing, PaymentDeclined, PaymentUnknown, RuleBroken
from app.events import DepositBegun
from app.services.commands.idempotency import Idempotency, Receipt, Replayed
from app.services.commands.kit import Kit
from app.services.money.payments import PaymentProvider
from app.services.money.postings import created, credited
from app.services.pages.fragments import moment
from app.services.people.graph import refuse_blocked
from repositories.money_records import PROVIDER, Answer, Transfer
from repositories.records import Money
from repositories.relational import Relational, Transaction


class Sending(Struct, frozen=True):
    """`to` is a handle. `memo` is shown to both, `reference` to the sender alone."""

    to: str
    amount: Money
    memo: str | None = None
    reference: str | None = None


class _Rollback(Exception):
    """Ends a transaction without a commit."""


class Wallets:
    def __init__(self, relational: Relational, idempotency: Idempotency, provider: PaymentProvider, kit: Kit) -> None:
        self._relational = relational
        self._idempotency = idempotency
        self._provider = provider
        self._retry = kit.retry

    def deposit(self, owner: UUID, money: Money, receipt: Receipt[Transfer]) -> Answer:
        """Raises `PaymentDeclined`, `PaymentUnknown`, and as `Idempotency`.

        The ledger is asked before the provider: what is credited needs no second answer of the provider.
        """
        reference = receipt.attempt.id(f"deposit {receipt.attempt.fingerprint.hex()}")
        event = DepositBegun(reference, owner, money.amount, money.currency)
        known = self._relational.ledger.get([reference])
        if known:
            raise Replayed(receipt.render(known[reference]))
        claim = self._idempotency.begin(receipt.attempt, reference, event)
        outcome = self._provider.charge(reference, money)
        if outcome == "declined":
            self._idempotency.abandon(claim)
            raise PaymentDeclined("the payment provider has declined")
        if outcome == "unknown":
            self._idempotency.end_lease(claim)
            raise PaymentUnknown("the payment provider has not answered; try again with the same Idempotency-Key")
        made = self._deposit(reference, owner, money)
        return self._idempotency.finish(claim, receipt, lambda tx: credited(tx.ledger.transfer(made)))

    def await_all_before(self, owner: UUID, currency: str, at: datetime | None = None) -> datetime:
        """Return when all entries of the account up to `at` are committed, and no more can come.

        So the balance at `at` is final, and so is that at the moment returned, which is the database's time. Raises
        `BadRequest` for an `at` that the database has not reached.
        """
        seen = self._retry(lambda: self._seen(owner, currency))
        if at is not None and at > seen:
            raise BadRequest(f"{moment(at)} is later than the time of the ledger, {moment(seen)}", code="bad_query")
        return seen

    def complete(self, reference: UUID, owner: UUID, money: Money) -> None:
        """Credit the deposit if the provider has approved it. Idempotent. Raises `PaymentUnknown`."""
        if self._relational.ledger.get([reference]):
            return
        outcome = self._provider.charge(reference, money)
        if outcome == "unknown":
            raise PaymentUnknown("the payment provider has not answered")
        if outcome == "approved":
            self._retry(lambda: self._credit(self._deposit(reference, owner, money)))

    def read(self, owner: UUID, transfer_id: UUID) -> Transfer:
        """Money that has moved, for the two whom it moved between. Raises `Missing`, also for everybody else."""
        made = self._relational.ledger.get([transfer_id]).get(transfer_id)
        if made is None or owner not in {made.debit, made.credit} or made.phase not in {"single", "post"}:
            raise Missing("there is no such transfer")
        return made

    def send(self, sender: UUID, sending: Sending, receipt: Receipt[Transfer]) -> Answer:
        """Raises `Missing`, `RuleBroken` for oneself, `Forbidden` (`blocked`), `Insufficient`, and as `Idempotency`."""
        return self._idempotency.run(
            receipt,
            lambda: self._planned(sender, sending, receipt),
            _transfer,
            lambda: self._sent(sending, receipt),
        )

    def _sent(self, sending: Sending, receipt: Receipt[Transfer]) -> Transfer | None:
        """What was sent with this key. Raises `KeySpent` where it is something else."""
        sent_id = receipt.attempt.id("transfer")
        sent, found = (
            self._relational.ledger.get([sent_id]).get(sent_id),
            self._relational.accounts.by_handle(sending.to),
        )
        # A handle may be nobody's by now.
        if sent and (
            (sent.amount, sent.memo, sent.reference) != (sending.amount, sending.memo, sending.reference)
            or (found and found.id != sent.credit)
        ):
            raise KeySpent
        return sent

    def _seen(self, owner: UUID, currency: str) -> datetime:
        """Wait for whoever has the account locked. Nothing is kept: an account that was missing stays missing."""
        with contextlib.suppress(_Rollback), self._relational.transaction() as tx:
            seen = tx.ledger.lock({owner}, currency)
            raise _Rollback
        return seen

    def _deposit(self, reference: UUID, owner: UUID, money: Money) -> Transfer:
        return Transfer(reference, "deposit", PROVIDER, owner, money)

    def _credit(self, made: Transfer) -> None:
        with self._relational.transaction() as tx:
            credited(tx.ledger.transfer(made))

    def _planned(self, sender: UUID, sending: Sending, receipt: Receipt[Transfer]) -> Transfer:
        found = self._relational.accounts.by_handle(sending.to)
        if found is None:
            raise Missing("there is no account with this handle")
        if found.id == sender:
            raise RuleBroken("this cannot be done with one's own account", code="own_account")
        own = Transfer(receipt.attempt.id("transfer"), "transfer", sender, found.id, sending.amount)
        return replace(own, memo=sending.memo, reference=sending.reference)


def _transfer(tx: Transaction, wanted: Transfer) -> Transfer:
    refuse_blocked(tx, wanted.debit, wanted.credit)
    return created(tx.ledger.transfer(wanted))
