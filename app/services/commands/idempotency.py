"""Idempotency keys: one effect and one answer per key.

`run` is for work on the relational store alone. Claim, work and answer are one transaction, so they are stored together
or not at all. `begin` and `finish` surround work on other systems: `begin` commits the claim with a lease, `finish`
stores the answer. The claim also stores the id of what will be made, so an attempt that takes over after a crash finds
what an earlier one made.

The ids of what is made are derived from the key. So once the answer is no longer kept, the key still finds the thing
itself, in its current state, and has no second effect.

Only successes are stored. After a refusal the key is unused again, because the same request may succeed later, for
example when money has arrived. If the outcome is unknown, the claim is kept without a lease: the key then accepts only
the same body.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Generic, TypeVar
from uuid import UUID, uuid5

from msgspec import Struct

from app.errors import AppError, InProgress, KeyReused, KeySpent
from app.services.commands.kit import Kit
from repositories.errors import Conflict, Contention, MovedAway, Stale, StoreError, Unavailable
from repositories.records.idempotency import Answer, Granted, InFlight, Mismatch, RequestKey
from repositories.relational import Transaction

log = logging.getLogger(__name__)
LEASE = timedelta(seconds=10)
KEPT = timedelta(hours=24)
# How long ending a claim waits for the new place, if the role has just moved.
MOVE_SECONDS = 2.0
T = TypeVar("T")
P = TypeVar("P")


class Replayed(Exception):
    """The work was already done with this key, and was not repeated. `answer` is the stored one or, if that is no
    longer kept, made from the current state.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__("answered before")
        self.answer = answer


class Attempt(Struct, frozen=True):
    """A request with a key. `fingerprint` is a digest of its body in canonical form."""

    key: RequestKey
    fingerprint: bytes

    def id(self, name: str) -> UUID:
        """The id of what this request makes, derived from the key: the same in every attempt."""
        return uuid5(self.key.account_id, f"{self.key.route}\n{self.key.key}\n{name}")


class Receipt(Struct, Generic[T], frozen=True):
    """An attempt, and the function that turns the result into an answer. `render` calls no store."""

    attempt: Attempt
    render: Callable[[T], Answer]


class ReservedId(Struct, frozen=True):
    """The id of what the request will make. `resumed`: an earlier attempt may have made it already."""

    id: UUID
    resumed: bool


class OpenClaim(Struct, frozen=True):
    """A committed claim without an answer."""

    attempt: Attempt
    granted: Granted
    reserved: ReservedId


def _nothing(_tx: Transaction, *_: object) -> None: ...


class Idempotency:
    """Runs requests under their keys. `transaction` begins a relational transaction."""

    def __init__(self, transaction: Callable[[], AbstractContextManager[Transaction]], kit: Kit) -> None:
        self.transaction = transaction
        self._retry = kit.retry
        self._moved = threading.Event()

    def follow(self, other: "Idempotency") -> None:
        """Called after the role has moved to the place of `other`: claims that are open here end there."""
        self.transaction = other.transaction
        self._moved.set()

    def run(
        self,
        receipt: Receipt[T],
        prepare: Callable[[], P],
        work: Callable[[Transaction, P], T],
        find: Callable[[], T | None] = lambda: None,
        last: Callable[[Transaction, T], object] = _nothing,
    ) -> Answer:
        """Run a command. `prepare` reads outside the transaction, `work` writes inside it. Both run again after
        `Contention`.

        `last` gets the result of `work` and writes inside the transaction too, right before the commit, since it takes
        contended locks. After a refusal, `find` reads what was made with the key long ago. Raises `Replayed`,
        `InProgress`, `KeyReused`, `KeySpent`, and what `prepare`, `work` and `find` raise.
        """
        return self._retry(lambda: self._run(receipt, prepare, work, find, last))

    def run_within(
        self,
        receipt: Receipt[T],
        begin: Callable[[Transaction], P],
        work: Callable[[Transaction, P], T],
        find: Callable[[], T | None],
    ) -> Answer:
        """`run` with all reads inside the transaction: reads that `begin` starts are sent together with the claim."""
        return self._retry(lambda: self._transact(receipt, begin, work, find, _nothing))

    def begin(
        self,
        attempt: Attempt,
        fresh: UUID,
        work: Callable[[Transaction, UUID], None] = _nothing,
    ) -> OpenClaim:
        """Claim the key. `fresh` becomes the reserved id, unless an earlier attempt has stored one.

        `work` is given this id, and writes in the transaction of the claim. Raises what `run` raises.
        """
        return self._retry(lambda: self._begin(attempt, fresh, work))

    def finish(self, claim: OpenClaim, receipt: Receipt[T], work: Callable[[Transaction], T]) -> Answer:
        """Run `work` and store the answer, in one transaction. Raises what `run` raises."""
        try:
            return self._retry(lambda: self._finish(claim, receipt, work))
        except Stale as taken:
            self._raise_stored(claim.attempt)
            raise InProgress from taken
        except StoreError:
            self.end_lease(claim)
            raise

    def abandon(self, claim: OpenClaim) -> None:
        """After a refusal: delete the claim."""
        self._best_effort(lambda: self._abandon(claim))

    def end_lease(self, claim: OpenClaim, work: Callable[[Transaction], None] = _nothing) -> None:
        """After an outcome that is unknown, or that must stay with this body: end the lease now, and keep the key bound
        to the body. `work` runs in the same transaction.
        """
        self._best_effort(lambda: self._end_lease(claim, work))

    def _run(
        self,
        receipt: Receipt[T],
        prepare: Callable[[], P],
        work: Callable[[Transaction, P], T],
        find: Callable[[], T | None],
        last: Callable[[Transaction, T], object],
    ) -> Answer:
        try:
            plan = prepare()
        except (AppError, StoreError) as refused:
            if isinstance(refused, Unavailable) and refused.store == "relational":
                # A stored answer would be in the same store.
                raise
            self._raise_stored(receipt.attempt)
            _raise_made(receipt, find)
            raise
        return self._transact(receipt, lambda _: plan, work, find, last)

    def _transact(
        self,
        receipt: Receipt[T],
        begin: Callable[[Transaction], P],
        work: Callable[[Transaction, P], T],
        find: Callable[[], T | None],
        last: Callable[[Transaction, T], object],
    ) -> Answer:
        try:
            with self.transaction() as tx:
                begun = begin(tx)
                granted = self._claim(tx, receipt.attempt)
                made = work(tx, begun)
                answer = receipt.render(made)
                tx.idempotency.complete(receipt.attempt.key, granted, answer)
                last(tx, made)
        except (Contention, Unavailable, InProgress, KeyReused):
            raise
        except (AppError, StoreError) as refused:
            _raise_made(receipt, find)
            if isinstance(refused, Conflict):
                raise KeySpent from refused
            raise
        return answer

    def _begin(self, attempt: Attempt, fresh: UUID, work: Callable[[Transaction, UUID], None]) -> OpenClaim:
        with self.transaction() as tx:
            granted = self._claim(tx, attempt)
            reserved = self._reserved_id(tx, attempt, fresh)
            try:
                work(tx, reserved)
            except Conflict as other:
                raise KeySpent from other
        return OpenClaim(attempt, granted, ReservedId(reserved, granted.taken_over))

    def _reserved_id(self, tx: Transaction, attempt: Attempt, fresh: UUID) -> UUID:
        """The id is stored under a second key that is complete from the start, so it outlives an abandoned claim."""
        key = attempt.key
        beside = RequestKey(key.account_id, f"{key.route} id {attempt.fingerprint.hex()}", key.key)
        found = tx.idempotency.claim(beside, attempt.fingerprint, LEASE)
        if isinstance(found, Answer):
            return UUID(bytes=found.body)
        if isinstance(found, Granted):
            tx.idempotency.complete(beside, found, Answer(0, {}, fresh.bytes))
        return fresh

    def _finish(self, claim: OpenClaim, receipt: Receipt[T], work: Callable[[Transaction], T]) -> Answer:
        with self.transaction() as tx:
            answer = receipt.render(work(tx))
            tx.idempotency.complete(claim.attempt.key, claim.granted, answer)
        return answer

    def _abandon(self, claim: OpenClaim) -> None:
        with self.transaction() as tx:
            tx.idempotency.abandon(claim.attempt.key, claim.granted)

    def _end_lease(self, claim: OpenClaim, work: Callable[[Transaction], None]) -> None:
        with self.transaction() as tx:
            work(tx)
            tx.idempotency.end_lease(claim.attempt.key, claim.granted)

    def _claim(self, tx: Transaction, attempt: Attempt) -> Granted:
        found = tx.idempotency.claim(attempt.key, attempt.fingerprint, LEASE)
        if isinstance(found, Answer):
            raise Replayed(found)
        if isinstance(found, Mismatch):
            raise KeyReused
        if isinstance(found, InFlight):
            raise InProgress(found.left.total_seconds() if found.left else 1)
        return found

    def _raise_stored(self, attempt: Attempt) -> None:
        """Raise what is stored for the key: `Replayed`, `InProgress` or `KeyReused`. An unused key stays unused."""
        try:
            with self.transaction() as tx:
                granted = self._claim(tx, attempt)
                tx.idempotency.abandon(attempt.key, granted)
        except StoreError as error:
            log.warning("whether the key has an answer is not known: %s", error)

    def _best_effort(self, step: Callable[[], None]) -> None:
        """Run a step of the clean-up. If it fails, the lease expires by itself."""
        try:
            try:
                self._retry(step)
            except MovedAway:
                self._moved.wait(MOVE_SECONDS)
                self._retry(step)
        except StoreError as error:
            log.warning("a key stays claimed until its lease ends: %s", error)


def _raise_made(receipt: Receipt[T], find: Callable[[], T | None]) -> None:
    if (made := find()) is not None:
        raise Replayed(receipt.render(made))
