"""Compares the payments of the payment provider with those of the ledger, one by one.

Both lists are merged by time and matched by reference. A payment without a match within `MOST` payments is looked up by
its reference, so memory is bounded. The clocks of the two sides need not agree: they only determine how soon the two
sides of a payment meet.

A difference is not reported at once, since the payment may be under way: both sides are asked again `patience` seconds
later.
"""

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from app.services.money.provider import PaymentProvider
from repositories.records.graph import TimeCursor
from repositories.records.payments import Payment
from repositories.relational import RelationalStore

PAGE = 1_000
MOST = 10_000


class Disagreement(Struct, frozen=True):
    """`theirs` is the provider's payment, `ours` that of the ledger; None if there is none."""

    reference: UUID
    problem: str
    theirs: Payment | None
    ours: Payment | None


class Reconciliation:
    """`compared` counts the payments compared so far. `patience` is in seconds."""

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
        """The differences of payments from `since` on and before `until`. Raises `ProviderAway`."""
        doubtful: list[tuple[float, UUID]] = []
        for reference in self._doubtful(since, until):
            doubtful.append((self._elapsed(), reference))
            if len(doubtful) == MOST:
                yield from self._confirmed(doubtful)
                doubtful.clear()
        yield from self._confirmed(doubtful)

    def _doubtful(self, since: datetime, until: datetime) -> Iterator[UUID]:
        """The references of payments that differ at the first comparison."""
        theirs = ((one, True) for one in _walk(self._provider.between, since, until))
        ours = ((one, False) for one in _walk(self._ledger.between, since, until))
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
        """Asks the ledger last: what the provider has done reaches the ledger soon, and not the other way round."""
        theirs = self._provider.find(reference)
        return theirs, self._ledger.get([reference]).get(reference)


def problem_of(theirs: Payment | None, ours: Payment | None) -> str | None:
    """How the two differ, None if they agree. A declined payment is not in the ledger, or its hold was voided."""
    if theirs is None:
        return None if ours is None or ours.state == "declined" else f"{_description(ours)} only in the ledger"
    if ours is None:
        return None if theirs.state == "declined" else f"{_description(theirs)} only at the provider"
    if theirs.kind != ours.kind:
        return f"a {theirs.kind} at the provider, a {ours.kind} in the ledger"
    if theirs.money != ours.money:
        return f"{_amount(theirs)} at the provider, {_amount(ours)} in the ledger"
    if theirs.state != ours.state:
        return f"{theirs.state} at the provider, {ours.state} in the ledger"
    return "still open on both sides" if theirs.state == "pending" else None


def _description(payment: Payment) -> str:
    return f"{payment.kind} of {_amount(payment)} {payment.state}"


def _amount(payment: Payment) -> str:
    return f"{payment.money.amount} {payment.money.currency}"


def _walk(page: Callable[..., Sequence[Payment]], since: datetime, until: datetime) -> Iterator[Payment]:
    after: TimeCursor | None = None
    while True:
        found = page(since, until, after=after, limit=PAGE)
        yield from found
        if len(found) < PAGE:
            return
        after = TimeCursor(found[-1].at, found[-1].reference)
