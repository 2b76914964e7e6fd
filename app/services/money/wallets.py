"""Wallets: transfers between accounts, and waiting until a balance is final.

A transfer is one relational transaction: claim, ledger transfer and answer.
"""

import contextlib
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.errors import BadRequest, KeySpent, Missing
from app.services.commands.idempotency import Idempotency, Receipt
from app.services.commands.kit import Kit
from app.services.money.postings import created
from app.services.pages.fragments import moment
from app.services.people.graph import refuse_any_blocked, refuse_oneself
from repositories.records.idempotency import Answer
from repositories.records.money import Money, Transfer
from repositories.records.people import Account
from repositories.relational import RelationalStore, Transaction


class Sending(Struct, frozen=True):
    """`to` is a handle. `memo` is shown to both accounts, `reference` only to the sender."""

    to: str
    amount: Money
    memo: str | None = None
    reference: str | None = None


class _Rollback(Exception):
    """Ends a transaction without a commit."""


class Wallets:
    def __init__(self, relational: RelationalStore, idempotency: Idempotency, kit: Kit) -> None:
        self._relational = relational
        self._idempotency = idempotency
        self._retry = kit.retry

    def await_all_before(self, owner: UUID, currency: str, at: datetime | None = None) -> datetime:
        """Wait until all entries of the account up to now are committed, and return that time of the database.

        No entry before the returned time can be added later, so the balance at `at`, and at that time, is final. Raises
        `BadRequest` if `at` is later than the database's time.
        """
        seen = self._retry(lambda: self._wait_for_lock(owner, currency))
        if at is not None and at > seen:
            raise BadRequest(f"{moment(at)} is later than the time of the ledger, {moment(seen)}", code="bad_query")
        return seen

    def read(self, owner: UUID, transfer_id: UUID) -> Transfer:
        """A transfer that has moved money, for its sender and its receiver. Raises `Missing`, also for all others."""
        made = self._relational.ledger.get([transfer_id]).get(transfer_id)
        if made is None or owner not in {made.debit, made.credit} or made.phase not in {"single", "post"}:
            raise Missing("there is no such transfer")
        return made

    def send(self, sender: UUID, sending: Sending, receipt: Receipt[Transfer]) -> Answer:
        """Send money to another account. Raises `Missing`, `RuleBroken` for oneself, `Forbidden` (`blocked`),
        `Insufficient`, and what `Idempotency` raises.
        """
        return self._idempotency.run_within(
            receipt,
            lambda tx: tx.accounts.begin_by_handle(sending.to),
            lambda tx, receiver: _transfer(tx, _planned(sender, receiver(), sending, receipt)),
            lambda: self._sent(sending, receipt),
        )

    def _sent(self, sending: Sending, receipt: Receipt[Transfer]) -> Transfer | None:
        """The transfer made with this key. Raises `KeySpent` if it is not what `sending` says."""
        sent_id = receipt.attempt.id("transfer")
        sent = self._relational.ledger.get([sent_id]).get(sent_id)
        if sent and (
            (sent.amount, sent.memo, sent.reference) != (sending.amount, sending.memo, sending.reference)
            or not self._may_have_had(sent.credit, sending.to)
        ):
            raise KeySpent
        return sent

    def _may_have_had(self, receiver: UUID, handle: str) -> bool:
        """Whether the handle may have been the receiver's: it still is, or nobody has it now and the receiver was
        edited or deleted since.
        """
        if found := self._relational.accounts.by_handle(handle):
            return found.id == receiver
        account = self._relational.accounts.get([receiver]).get(receiver)
        return account is None or account.version > 1

    def _wait_for_lock(self, owner: UUID, currency: str) -> datetime:
        """Wait for transactions that have the account locked. Rolls back, so that no missing ledger account is made."""
        with contextlib.suppress(_Rollback), self._relational.transaction() as tx:
            seen = tx.ledger.lock({owner}, currency)
            raise _Rollback
        return seen


def _planned(sender: UUID, receiver: Account | None, sending: Sending, receipt: Receipt[Transfer]) -> Transfer:
    if receiver is None:
        raise Missing("there is no account with this handle")
    refuse_oneself(sender, receiver.id)
    own = Transfer(receipt.attempt.id("transfer"), "transfer", sender, receiver.id, sending.amount)
    return replace(own, memo=sending.memo, reference=sending.reference)


def _transfer(tx: Transaction, wanted: Transfer) -> Transfer:
    related = tx.graph.begin_lock(wanted.debit, wanted.credit)
    tx.ledger.lock({wanted.debit, wanted.credit}, wanted.amount.currency)
    refuse_any_blocked({wanted.credit: related()})
    return created(tx.ledger.transfer(wanted))
