"""Idempotency keys: one effect and one answer for each, whatever dies when."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from repositories.money_records import Answer, Granted, InFlight, Mismatch, RequestKey

Claimed = Granted | Answer | InFlight | Mismatch


class IdempotencyWrites(Protocol):
    """A claim is a row of the transaction that does the work. If that transaction also completes it, effect and
    answer are there together or not at all, and a process that dies leaves nothing to take over.

    Work that must leave the transaction half way (a payment provider is asked) commits the claim first, with
    a lease, and completes it in a later transaction: `complete` fails when the lease was taken over meanwhile, so
    the effect in its transaction happens once. Before that, its steps have to be idempotent: derive ids from the key.

    Two claims of one key in open transactions: PostgreSQL answers the second `InFlight` at once, by an advisory
    lock that is tried and not waited for, since a plain unique index would block it until the first one ends. On
    SQLite there is one writer, so the second waits for the first and gets its answer.
    """

    @abstractmethod
    def claim(self, key: RequestKey, fingerprint: bytes, *, now: datetime, lease_until: datetime) -> Claimed:
        """`Granted` to the first, and to one who finds a lease that is not after `now`. `Answer` when there is one,
        `Mismatch` when the fingerprint is another, `InFlight` else. Only `Granted` has written anything.
        """

    @abstractmethod
    def complete(self, key: RequestKey, granted: Granted, answer: Answer) -> None:
        """Store the answer. Raises `Stale` when the claim was taken over, completed or swept."""

    @abstractmethod
    def abandon(self, key: RequestKey, granted: Granted) -> None:
        """Forget a claim that is not completed, so that the key is as if never used. Idempotent."""

    @abstractmethod
    def sweep(self, *, before: datetime, limit: int) -> int:
        """Forget up to `limit` keys first claimed before `before`. Returns how many."""
