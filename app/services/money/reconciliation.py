"""Compares what the payment provider says with what the ledger says, payment by payment.

Both lists are read side by side by time, and matched by reference. What has no match within `MOST` payments is asked
for by its reference, so memory is bounded however many there are. The clocks of both need not agree: they only decide
how soon the two sides of a payment meet.

Nothing is reported at its first look: a payment may be under way. Both sides are asked again `patience` later.
"""

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from app.services.money.provider import PaymentProvider
from repositories.payment_records import Payment
from repositories.records import TimeCursor
from repositories.relational import RelationalStore

PAGE = 1_000
MOST = 10_000


class Disagreement(Struct, frozen=True):
    """`theirs` is what the provider says, `ours` what the ledger says; None where there is nothing."""

    reference: UUID
    problem: str
    theirs: Payment | None
    ours: Payment | None


class Reconciliation:
    """`compared` counts the payments that were looked at."""

    def __init__(
        self,
        relational: RelationalStore,
        provider: PaymentProvider,
        patience: float,
        *,
        sleep: Callable[[float], None] = time.sleep,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = relational.payments
        self._provider = provider
        self._patience = patience
        self._sleep = sleep
        self._elapsed = elapsed
        self.compared = 0

    def differences(self, since: datetime, until: datetime) -> Iterator[Disagreement]:
        """Of payments from `since` on and before `until`. Raises `ProviderAway`."""
        doubtful: list[tuple[float, UUID]] = []
        for reference in self._doubtful(since, until):
            doubtful.append((self._elapsed(), reference))
            if len(doubtful) == MOST:
                yield from self._confirmed(doubtful)
                doubtful.clear()
        yield from self._confirmed(doubtful)

    def _doubtful(self, since: datetime, until: datetime) -> Iterator[UUID]:
        """The references of payments of which the two sides do not say the same."""
        theirs = ((one, True) for one in _walked(self._provider.between, since, until))
        ours = ((one, False) for one in _walked(self._ledger.between, since, until))
        waiting: dict[UUID, tuple[Payment, bool]] = {}
        for one, is_theirs in heapq.merge(theirs, ours, key=lambda pair: pair[0].at):
            other = waiting.pop(one.reference, None)
            if other is None:
                waiting[one.reference] = one, is_theirs
                if len(waiting) > MOST:
                    yield from self._unmatched(next(iter(waiting)), waiting)
                continue
            self.compared += 1
            if problem_of(*((one, other[0]) if is_theirs else (other[0], one))):
                yield one.reference
        for reference in list(waiting):
            yield from self._unmatched(reference, waiting)

    def _unmatched(self, reference: UUID, waiting: dict[UUID, tuple[Payment, bool]]) -> Iterator[UUID]:
        del waiting[reference]
        self.compared += 1
        if problem_of(*self._both(reference)):
            yield reference

    def _confirmed(self, doubtful: Sequence[tuple[float, UUID]]) -> Iterator[Disagreement]:
        for seen, reference in doubtful:
            self._sleep(max(0.0, seen + self._patience - self._elapsed()))
            theirs, ours = self._both(reference)
            if problem := problem_of(theirs, ours):
                yield Disagreement(reference, problem, theirs, ours)

    def _both(self, reference: UUID) -> tuple[Payment | None, Payment | None]:
        """The ledger is asked last: what the provider has done is in the ledger soon, and not the other way."""
        theirs = self._provider.find(reference)
        return theirs, self._ledger.get([reference]).get(reference)


def problem_of(theirs: Payment | None, ours: Payment | None) -> str | None:
    """None where both say the same. What was declined is nowhere in the ledger, or was freed."""
    if theirs is None:
        return None if ours is None or ours.state == "declined" else f"{_said(ours)} here, unknown there"
    if ours is None:
        return None if theirs.state == "declined" else f"{_said(theirs)} there, not here"
    if theirs.kind != ours.kind:
        return f"a {theirs.kind} there, a {ours.kind} here"
    if theirs.money != ours.money:
        return f"{_amount(theirs)} there, {_amount(ours)} here"
    if theirs.state != ours.state:
        return f"{theirs.state} there, {ours.state} here"
    return "still open on both sides" if theirs.state == "pending" else None


def _said(payment: Payment) -> str:
    return f"{payment.kind} of {_amount(payment)} {payment.state}"


def _amount(payment: Payment) -> str:
    return f"{payment.money.amount} {payment.money.currency}"


def _walked(page: Callable[..., Sequence[Payment]], since: datetime, until: datetime) -> Iterator[Payment]:
    after: TimeCursor | None = None
    while True:
        found = page(since, until, after=after, limit=PAGE)
        yield from found
        if len(found) < PAGE:
            return
        after = TimeCursor(found[-1].at, found[-1].reference)
