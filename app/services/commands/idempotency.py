"""One effect and one answer for each idempotency key.

Work on the relational store alone is done by `Once.run`: the claim of the key, the work and the answer's bytes are
one transaction, so that they are there together or not at all. Work that leaves the relational store is framed by
`begin` and `finish`: the claim is committed first, with a lease, and the answer after the work. Whoever takes over
after a crash finds what the first one left, because the ids of what is made are those of the first claim.

Only successes are stored. A refusal leaves the key as if it had never been used, for it may be another one later:
whoever had not enough money may retry with the same key once they have. When the outcome is unknown, the claim stays
and its lease ends, so that only the same body may be tried again.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID, uuid5

from msgspec import Struct

from app.errors import AppError, InProgress, KeyReused, KeySpent
from app.services.commands.kit import Kit
from repositories.errors import Conflict, Stale, StoreError
from repositories.money_records import Answer, Granted, InFlight, Mismatch, RequestKey
from repositories.records import Event
from repositories.relational import Transaction

log = logging.getLogger(__name__)
LEASE = timedelta(seconds=10)
KEPT = timedelta(hours=24)
T = TypeVar("T")
P = TypeVar("P")


class Replayed(Exception):
    """Raised instead of doing the work again."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("answered before")
        self.answer = answer


class Attempt(Struct, frozen=True):
    """A request with a key. `fingerprint` is that of its body, in canonical form."""

    key: RequestKey
    fingerprint: bytes

    def id(self, name: str) -> UUID:
        """The id of what this request makes: the same in every attempt."""
        return uuid5(self.key.account_id, f"{self.key.route}\n{self.key.key}\n{name}")


class Receipt(Struct, Generic[T], frozen=True):
    """An attempt, and how what came of it is written as an answer. `render` touches no store."""

    attempt: Attempt
    render: Callable[[T], Answer]


class Child(Struct, frozen=True):
    """The id for what a framed request makes. `resumed` when an earlier attempt may have made it already."""

    id: UUID
    resumed: bool


class Begun(Struct, frozen=True):
    """A committed claim."""

    attempt: Attempt
    granted: Granted
    until: datetime
    child: Child


class Once:
    """`transaction` begins one on the relational store."""

    def __init__(self, transaction: Callable[[], AbstractContextManager[Transaction]], kit: Kit) -> None:
        self._transaction = transaction
        self._retry = kit.retry
        self._clock = kit.clock

    def run(self, receipt: Receipt[T], prepare: Callable[[], P], work: Callable[[Transaction, P], T]) -> Answer:
        """`prepare` reads what the work needs, outside the transaction. Both are run again after `Contention`.

        Raises `Replayed`, `InProgress`, `KeyReused`, `KeySpent`, and what the two raise.
        """
        return self._retry(lambda: self._run(receipt, prepare, work))

    def begin(self, attempt: Attempt, fresh: UUID, event: Event | None = None) -> Begun:
        """Claim the key, with `fresh` as the id of what will be made, unless an earlier attempt has set one.

        The event is published if the claim is made. Raises as `run` does.
        """
        return self._retry(lambda: self._begin(attempt, fresh, event))

    def finish(self, begun: Begun, receipt: Receipt[T], work: Callable[[Transaction], T]) -> Answer:
        """Do the last step and store the answer, in one transaction. Raises as `run` does."""
        try:
            return self._retry(lambda: self._finish(begun, receipt, work))
        except Stale as taken:
            self._raise_known(begun.attempt)
            raise InProgress from taken
        except StoreError:
            self.let_go(begun)
            raise

    def abandon(self, begun: Begun) -> None:
        """The request was refused: forget the claim."""
        self._at_any_rate(lambda: self._abandon(begun))

    def let_go(self, begun: Begun) -> None:
        """The outcome is unknown: end the lease at once, and keep the key for this body."""
        self._at_any_rate(lambda: self._let_go(begun))

    def _run(self, receipt: Receipt[T], prepare: Callable[[], P], work: Callable[[Transaction, P], T]) -> Answer:
        try:
            plan = prepare()
        except (AppError, StoreError):
            self._raise_known(receipt.attempt)
            raise
        try:
            with self._transaction() as tx:
                granted = self._claim(tx, receipt.attempt, self._clock())
                answer = receipt.render(work(tx, plan))
                tx.idempotency.complete(receipt.attempt.key, granted, answer)
        except Conflict as spent:
            raise KeySpent from spent
        return answer

    def _begin(self, attempt: Attempt, fresh: UUID, event: Event | None) -> Begun:
        now = self._clock()
        with self._transaction() as tx:
            granted = self._claim(tx, attempt, now)
            child = self._child(tx, attempt, fresh, now)
            if event is not None:
                tx.emit(event)
        return Begun(attempt, granted, now + LEASE, Child(child, granted.taken_over))

    def _child(self, tx: Transaction, attempt: Attempt, fresh: UUID, now: datetime) -> UUID:
        """The id is kept under a key beside the request's, complete from the start: it outlives the first claim."""
        key = attempt.key
        beside = RequestKey(key.account_id, f"{key.route} id {attempt.fingerprint.hex()}", key.key)
        found = tx.idempotency.claim(beside, attempt.fingerprint, now=now, lease_until=now + LEASE)
        if isinstance(found, Answer):
            return UUID(bytes=found.body)
        if isinstance(found, Granted):
            tx.idempotency.complete(beside, found, Answer(0, {}, fresh.bytes))
        return fresh

    def _finish(self, begun: Begun, receipt: Receipt[T], work: Callable[[Transaction], T]) -> Answer:
        with self._transaction() as tx:
            answer = receipt.render(work(tx))
            tx.idempotency.complete(begun.attempt.key, begun.granted, answer)
        return answer

    def _abandon(self, begun: Begun) -> None:
        with self._transaction() as tx:
            tx.idempotency.abandon(begun.attempt.key, begun.granted)

    def _let_go(self, begun: Begun) -> None:
        """Take the claim over from oneself with a lease that has passed."""
        attempt, now = begun.attempt, self._clock()
        with self._transaction() as tx:
            tx.idempotency.claim(attempt.key, attempt.fingerprint, now=begun.until, lease_until=now)

    def _claim(self, tx: Transaction, attempt: Attempt, now: datetime) -> Granted:
        found = tx.idempotency.claim(attempt.key, attempt.fingerprint, now=now, lease_until=now + LEASE)
        if isinstance(found, Answer):
            raise Replayed(found)
        if isinstance(found, Mismatch):
            raise KeyReused
        if isinstance(found, InFlight):
            raise InProgress((found.until - now).total_seconds() if found.until else 1)
        return found

    def _raise_known(self, attempt: Attempt) -> None:
        """Raise what the key has for this attempt: its answer, or why it may not be used. Leaves a free key free."""
        try:
            with self._transaction() as tx:
                granted = self._claim(tx, attempt, self._clock())
                tx.idempotency.abandon(attempt.key, granted)
        except StoreError as error:
            log.warning("whether the key has an answer is not known: %s", error)

    def _at_any_rate(self, step: Callable[[], None]) -> None:
        """Tidying up: when it fails, the lease ends by itself."""
        try:
            self._retry(step)
        except StoreError as error:
            log.warning("a key stays claimed until its lease ends: %s", error)
