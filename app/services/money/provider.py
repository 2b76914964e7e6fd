"""The payment provider that deposits come from and payouts go to: its port, and a sandbox."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from msgspec.structs import replace

from app.services.commands.retrying import Retry
from repositories.errors import StoreError
from repositories.records.graph import TimeCursor
from repositories.records.money import UNWRITTEN, Money
from repositories.records.payments import Payment
from repositories.relational import RelationalStore

# `differs`: the reference belongs to another payment, and nothing was done.
Outcome = Literal["approved", "declined", "unknown", "differs"]

LIMIT = 10**12
DECLINED = 40_402
TIMED_OUT = 40_504
SLOW = 40_503


class ProviderAway(Exception):
    """The provider cannot be asked."""


class PaymentProvider(Protocol):
    """A reference identifies one payment for ever. Requesting it again changes nothing, even with another amount."""

    @abstractmethod
    def charge(self, reference: UUID, money: Money) -> Outcome:
        """Charge `money` once per reference. A repeated call returns the outcome of the first, or `differs`.

        `unknown`: no answer in time, or no connection. Never raises.
        """

    @abstractmethod
    def pay_out(self, reference: UUID, money: Money) -> Outcome:
        """Pay `money` out once per reference. Otherwise like `charge`."""

    @abstractmethod
    def find(self, reference: UUID) -> Payment | None:
        """The payment with this reference; `pending` while it is undecided. None: it was never requested.

        Raises `ProviderAway`.
        """

    @abstractmethod
    def between(self, since: datetime, until: datetime, *, after: TimeCursor | None, limit: int) -> Sequence[Payment]:
        """The payments requested from `since` on and before `until`, by the provider's clock, oldest first, ties by
        reference; strictly later than `after`. Raises `ProviderAway`.
        """


class SandboxProvider(PaymentProvider):
    """Moves no money, and approves every amount except these, in any currency:

    - 40402, and any amount above 1000000000000, is declined;
    - 40503 is approved, but times out on the first call;
    - 40504 times out always, and stays pending.

    It stores requested payments in a table of its own, which all processes share, with the database's time.
    """

    def __init__(self, relational: RelationalStore, retry: Retry) -> None:
        self._relational = relational
        self._retry = retry

    def charge(self, reference: UUID, money: Money) -> Outcome:
        return self._ask(Payment(reference, "deposit", money, _state(money.amount), UNWRITTEN))

    def pay_out(self, reference: UUID, money: Money) -> Outcome:
        return self._ask(Payment(reference, "payout", money, _state(money.amount), UNWRITTEN))

    def find(self, reference: UUID) -> Payment | None:
        try:
            return self._relational.sandbox.get(reference)
        except StoreError as error:
            raise ProviderAway(str(error)) from error

    def between(self, since: datetime, until: datetime, *, after: TimeCursor | None, limit: int) -> Sequence[Payment]:
        try:
            return self._relational.sandbox.between(since, until, after=after, limit=limit)
        except StoreError as error:
            raise ProviderAway(str(error)) from error

    def _add(self, wanted: Payment) -> bool:
        with self._relational.transaction() as tx:
            return tx.sandbox.add([replace(wanted, at=tx.now())]) > 0

    def _ask(self, wanted: Payment) -> Outcome:
        try:
            is_first = self._retry(lambda: self._add(wanted))
            known = wanted if is_first else self._relational.sandbox.get(wanted.reference)
        except StoreError:
            return "unknown"
        if known is None or (is_first and wanted.money.amount == SLOW):
            return "unknown"
        return outcome_of(known, wanted.kind, wanted.money)


def outcome_of(payment: Payment, kind: str, money: Money) -> Outcome:
    """The outcome for a caller who wants a payment of this kind and money, given the payment that the provider has."""
    if (payment.kind, payment.money) != (kind, money):
        return "differs"
    return "unknown" if payment.state == "pending" else payment.state


def _state(amount: int) -> Literal["pending", "approved", "declined"]:
    if amount == DECLINED or amount > LIMIT:
        return "declined"
    return "pending" if amount == TIMED_OUT else "approved"
