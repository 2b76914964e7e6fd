"""Deposits from the payment provider, and payouts to it.

Both have three steps: commit the claim, ask the provider, write its outcome together with the answer. A payout's money
is held with the claim; an approved payout posts the hold, a declined one voids it. The hold does not expire, so money
is not free while the provider may still pay it out, and is never paid out without having been held.

The reference given to the provider is the id of the deposit's transfer, or of the payout's hold. It is derived from the
idempotency key, so every retry concerns the same payment and moves the money once. Another body under the key is
refused by the stored key, by the ledger, or by the provider. The client may retry with the same key. If it does not,
the handler of the event that was committed with the claim completes the payment. Both look the payment up at the
provider by its reference before they request it again.
"""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from app.errors import KeySpent, Missing, PaymentDeclined, PaymentUndecided, PaymentUnknown
from app.events import DepositBegun, PayoutBegun
from app.services.commands.idempotency import Attempt, Idempotency, Receipt, Replayed
from app.services.commands.kit import Kit
from app.services.money.postings import credited
from app.services.money.provider import Outcome, PaymentProvider, ProviderAway, outcome_of
from repositories.errors import NotFound
from repositories.records.graph import TimeCursor
from repositories.records.idempotency import Answer
from repositories.records.money import PROVIDER, UNWRITTEN, Money, Transfer
from repositories.records.payments import DEPOSIT, NEVER, PAYOUT, Payment
from repositories.relational import RelationalStore, Transaction

log = logging.getLogger(__name__)
DECLINED = "the payment provider has declined"
UNKNOWN = "the payment provider has not answered; try again with the same Idempotency-Key"
UNDECIDED = "the payment provider has not decided the payment yet"


class WantedPayment(Struct, frozen=True):
    """A payment of `money` to or from the wallet of `owner`, requested at `since`."""

    reference: UUID
    owner: UUID
    money: Money
    since: datetime = UNWRITTEN


class _Kind(Protocol):
    """The steps that differ between deposits and payouts. Each step in the ledger is idempotent."""

    name: str
    event: type[DepositBegun | PayoutBegun]

    @abstractmethod
    def ask(self, wanted: WantedPayment) -> Outcome: ...

    @abstractmethod
    def prepare(self, tx: Transaction, wanted: WantedPayment) -> datetime:
        """Write in the transaction of the claim, before the provider is asked. Returns the time of the request.

        Raises `Conflict` if the reference is that of another payment.
        """

    @abstractmethod
    def approve(self, tx: Transaction, wanted: WantedPayment) -> Payment: ...

    @abstractmethod
    def decline(self, tx: Transaction, wanted: WantedPayment) -> None: ...


class _Deposits(_Kind):
    name, event = DEPOSIT, DepositBegun

    def __init__(self, provider: PaymentProvider) -> None:
        self._provider = provider

    def ask(self, wanted: WantedPayment) -> Outcome:
        return self._provider.charge(wanted.reference, wanted.money)

    def prepare(self, tx: Transaction, wanted: WantedPayment) -> datetime:  # noqa: ARG002 - of payouts
        """Nothing is written: a deposit has no money in the ledger before it is approved."""
        return tx.now()

    def approve(self, tx: Transaction, wanted: WantedPayment) -> Payment:
        own = Transfer(wanted.reference, DEPOSIT, PROVIDER, wanted.owner, wanted.money)
        at = credited(tx.ledger.transfer(own)).created_at
        return Payment(wanted.reference, "deposit", wanted.money, "approved", at, wanted.owner)

    def decline(self, tx: Transaction, wanted: WantedPayment) -> None:
        """Nothing was written."""


class _Payouts(_Kind):
    name, event = PAYOUT, PayoutBegun

    def __init__(self, provider: PaymentProvider) -> None:
        self._provider = provider

    def ask(self, wanted: WantedPayment) -> Outcome:
        return self._provider.pay_out(wanted.reference, wanted.money)

    def prepare(self, tx: Transaction, wanted: WantedPayment) -> datetime:
        own = Transfer(wanted.reference, PAYOUT, wanted.owner, PROVIDER, wanted.money, phase="hold", expires_at=NEVER)
        return credited(tx.ledger.hold(own)).created_at

    def approve(self, tx: Transaction, wanted: WantedPayment) -> Payment:
        reference = wanted.reference
        end = credited(tx.ledger.post(uuid5(reference, "post"), reference, at=tx.now())).created_at
        return Payment(reference, "payout", wanted.money, "approved", wanted.since, wanted.owner, end)

    def decline(self, tx: Transaction, wanted: WantedPayment) -> None:
        credited(tx.ledger.void(uuid5(wanted.reference, "void"), wanted.reference))


class Payments:
    def __init__(
        self, relational: RelationalStore, idempotency: Idempotency, provider: PaymentProvider, kit: Kit
    ) -> None:
        self._relational = relational
        self._idempotency = idempotency
        self._retry = kit.retry
        self._pack = kit.emitter
        self._deposits = _Deposits(provider)
        self._payouts = _Payouts(provider)
        self.provider = provider

    def deposit(self, owner: UUID, money: Money, receipt: Receipt[Payment]) -> Answer:
        """Deposit money. Raises `PaymentDeclined`, `PaymentUnknown`, `Missing`, and what `Idempotency` raises."""
        return self._start(self._deposits, owner, money, receipt)

    def pay_out(self, owner: UUID, money: Money, receipt: Receipt[Payment]) -> Answer:
        """Pay money out. Raises what `deposit` raises, and `Insufficient`."""
        return self._start(self._payouts, owner, money, receipt)

    def complete_deposit(self, reference: UUID, owner: UUID, money: Money) -> None:
        """Write the provider's outcome of the deposit. Idempotent. Raises `PaymentUnknown`, or `PaymentUndecided`."""
        self._complete(self._deposits, WantedPayment(reference, owner, money))

    def complete_payout(self, reference: UUID, owner: UUID, money: Money) -> None:
        """Like `complete_deposit`, for a payout."""
        self._complete(self._payouts, WantedPayment(reference, owner, money))

    def payout(self, owner: UUID, reference: UUID) -> Payment:
        """The payout of this owner. Raises `Missing`, also for everybody else's."""
        found = self._found(reference)
        if found is None or (found.kind, found.owner) != (PAYOUT, owner):
            raise Missing("there is no such payout")
        return found

    def payouts(self, owner: UUID, *, before: TimeCursor | None, limit: int) -> Sequence[Payment]:
        """Newest first."""
        return self._relational.payments.payouts(owner, before=before, limit=limit)

    def _start(self, kind: _Kind, owner: UUID, money: Money, receipt: Receipt[Payment]) -> Answer:
        """Looks the payment up in the ledger first: if it is decided there, the provider need not be asked again."""
        attempt = receipt.attempt
        first = WantedPayment(attempt.id(kind.name), owner, money)
        known = self._known(kind, attempt)
        if known is not None and known.money == money:
            first = replace(first, reference=known.reference)
            if known.state == "approved":
                raise Replayed(receipt.render(known))
            if known.state == "declined":
                raise PaymentDeclined(DECLINED)
        begun: list[WantedPayment] = []

        def prepare(tx: Transaction, reference: UUID) -> None:
            """Another body is refused here and not earlier: while the key is stored, its own check comes first."""
            if known is not None and known.money != money:
                raise KeySpent
            wanted = replace(first, reference=reference)
            try:
                tx.open_payments.begin(owner, reference, tx.now())
            except NotFound as gone:
                raise Missing("the account was deleted meanwhile") from gone
            at = kind.prepare(tx, wanted)
            tx.emit(self._pack(kind.event(reference, owner, money.amount, money.currency), at=at))
            begun.append(replace(wanted, since=at))

        claim = self._idempotency.begin(attempt, first.reference, prepare)
        wanted = begun[-1]
        outcome = self._outcome(kind, wanted) if claim.reserved.resumed else kind.ask(wanted)
        if outcome == "differs":
            # A resumed claim is not abandoned: its key stays bound to the body that it was first claimed for.
            (self._idempotency.end_lease if claim.reserved.resumed else self._idempotency.abandon)(claim)
            raise KeySpent
        if outcome in ("unknown", "pending"):
            self._idempotency.end_lease(claim)
            raise PaymentUnknown(UNKNOWN)
        if outcome == "declined":
            self._idempotency.end_lease(claim, lambda tx: _decline(tx, kind, wanted))
            raise PaymentDeclined(DECLINED)
        return self._idempotency.finish(claim, receipt, lambda tx: _approve(tx, kind, wanted))

    def _complete(self, kind: _Kind, wanted: WantedPayment) -> None:
        known = self._found(wanted.reference)
        if known is not None and known.state != "pending":
            # A request that found the payment undecided may have begun it once more and crashed.
            return self._end(wanted)
        outcome = self._outcome(kind, wanted)
        if outcome == "differs":
            # Asking again changes nothing. Held money stays held, and `quartet doctor provider` reports it.
            log.warning("the provider has another payment under the reference %s", wanted.reference)
            return self._end(wanted)
        if outcome == "unknown":
            raise PaymentUnknown(UNKNOWN)
        if outcome == "pending":
            raise PaymentUndecided(UNDECIDED)
        return self._retry(lambda: self._write(kind, wanted, outcome))

    def _write(self, kind: _Kind, wanted: WantedPayment, outcome: Outcome) -> None:
        with self._relational.transaction() as tx:
            (_approve if outcome == "approved" else _decline)(tx, kind, wanted)

    def _end(self, wanted: WantedPayment) -> None:
        """Remove it from the account's open payments: its outcome will not change any more."""

        def end() -> None:
            with self._relational.transaction() as tx:
                tx.open_payments.end(wanted.owner, wanted.reference)

        self._retry(end)

    def _outcome(self, kind: _Kind, wanted: WantedPayment) -> Outcome | Literal["pending"]:
        """The outcome of a payment that may have been requested already. It is requested again only if the provider
        does not know it. `pending`: the provider knows it and has not decided it; `unknown`: it has not answered.
        """
        try:
            found = self.provider.find(wanted.reference)
        except ProviderAway:
            return "unknown"
        if found is None:
            return kind.ask(wanted)
        outcome = outcome_of(found, kind.name, wanted.money)
        return "pending" if outcome == "unknown" else outcome

    def _known(self, kind: _Kind, attempt: Attempt) -> Payment | None:
        """The payment of this key in the ledger. Up to version 0.2.0 the reference also depended on the body."""
        now, former = attempt.id(kind.name), attempt.id(f"{kind.name} {attempt.fingerprint.hex()}")
        found = self._relational.payments.get([now, former])
        return found.get(now) or found.get(former)

    def _found(self, reference: UUID) -> Payment | None:
        return self._relational.payments.get([reference]).get(reference)


def _approve(tx: Transaction, kind: _Kind, wanted: WantedPayment) -> Payment:
    made = kind.approve(tx, wanted)
    tx.open_payments.end(wanted.owner, wanted.reference)
    return made


def _decline(tx: Transaction, kind: _Kind, wanted: WantedPayment) -> None:
    kind.decline(tx, wanted)
    tx.open_payments.end(wanted.owner, wanted.reference)
