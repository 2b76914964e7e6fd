"""A model of deposits and payouts, and the effect of each request on a wallet."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Amounts that the sandbox declines, approves without answering the first call, and never decides.
DECLINED, SLOW, TIMED_OUT = 40_402, 40_503, 40_504


@dataclass
class Wallet:
    posted: int = 0
    held: int = 0

    @property
    def available(self) -> int:
        return self.posted - self.held


@dataclass
class Paid:
    """A deposit or a payout requested from the provider."""

    kind: str
    owner: str
    amount: int
    currency: str
    state: str


@dataclass(frozen=True)
class Expected:
    """The expected status and problem code. `apply` updates the model, given the body of the answer.

    `replayed`: the relay has completed the payment in the meantime. `kept`: no success, but the key stays bound to this
    body. `claims`: the request binds the key to this body, unless it is bound already.
    """

    status: int
    code: str = ""
    apply: Callable[[Any], None] = lambda _: None
    replayed: bool = False
    kept: bool = False
    claims: bool = True


class Payments:
    """Payments by key. `yen` are wallets for payments that are not approved at once, since nothing is sold for yen."""

    def __init__(self, wallets: dict[str, Wallet]) -> None:
        self.wallets = wallets
        self.yen: dict[str, Wallet] = {}
        self.all: dict[str, Paid] = {}

    def ask(self, key: str, wanted: Paid) -> Expected:
        """Expect the answer to a deposit or payout with this key, for the first time or again."""
        known, wallet = self.all.get(key), self._wallet(wanted)
        if known is None and wanted.kind == "payout" and wallet.available < wanted.amount:
            return Expected(409, "insufficient_funds")
        state = known.state if known else wanted.state

        def asked(_body: Any) -> None:
            if known is None:
                self._begin(key, wanted)

        if state == "approved":
            return Expected(201, "", asked, replayed=known is not None, claims=known is None)
        if state == "declined":
            listed = known is not None and wanted.kind == "payout"
            return Expected(402, "payment_declined", asked, kept=True, claims=not listed)
        if known is not None and known.amount == SLOW:
            return Expected(201, "", lambda _: self._complete(known))
        return Expected(503, "payment_unknown", asked, kept=True)

    def asked_by_the_relay(self) -> None:
        for payment in self.all.values():
            if payment.state == "pending" and payment.amount == SLOW:
                self._complete(payment)

    def at_the_provider(self) -> Counter[tuple[str, int, str]]:
        """The provider's payments. One that timed out once is approved there, although Quartet may not know it yet."""
        states = [(one, "approved" if one.amount == SLOW else one.state) for one in self.all.values()]
        return Counter((one.kind, one.amount, state) for one, state in states)

    def payouts(self, owner: str) -> list[tuple[int, str]]:
        """The amounts and states of an account's payouts, oldest first."""
        return [(one.amount, one.state) for one in self.all.values() if (one.kind, one.owner) == ("payout", owner)]

    def _begin(self, key: str, wanted: Paid) -> None:
        self.all[key] = wanted
        if wanted.kind == "payout" and wanted.state != "declined":
            self._wallet(wanted).held += wanted.amount
        if wanted.state == "approved":
            self._complete(wanted)

    def _complete(self, payment: Paid) -> None:
        wallet, payment.state = self._wallet(payment), "approved"
        if payment.kind == "payout":
            wallet.held -= payment.amount
            wallet.posted -= payment.amount
        else:
            wallet.posted += payment.amount

    def _wallet(self, payment: Paid) -> Wallet:
        return (self.yen if payment.currency == "JPY" else self.wallets)[payment.owner]
