"""Idempotency keys: each key has one effect and one stored answer, even when processes crash."""

from abc import abstractmethod
from datetime import datetime, timedelta
from typing import Protocol

from repositories.records.idempotency import Answer, Granted, InFlight, Mismatch, RequestKey

Claimed = Granted | Answer | InFlight | Mismatch


class IdempotencyWrites(Protocol):
    """A claim is a row. Local work claims the key, does the work and completes the claim in one transaction: effect
    and answer are stored together or not at all, and a crash leaves nothing behind.

    Work that calls another system, such as the payment provider, commits the claim first, with a lease, and completes
    it in a later transaction. `complete` fails when the lease was taken over, so the effect of that transaction
    happens once. The steps before it must be idempotent; their ids are derived from the key.

    When two open transactions claim the same key, PostgreSQL answers the second with `InFlight` after 20 ms unless the
    first has ended by then: without this limit every retry of a hanging command would occupy a connection. The second
    transaction is aborted then: nothing but its end works in it, and that raises `Contention`. SQLite has one writer,
    so the second waits for the first and gets its answer.
    """

    @abstractmethod
    def claim(self, key: RequestKey, fingerprint: bytes, lease_time: timedelta) -> Claimed:
        """Claim a key. `Granted` for a new key and for one whose lease has ended, `Answer` when one is stored,
        `Mismatch` for another fingerprint, else `InFlight`. Only `Granted` writes.

        Age and lease of a key are by the database's clock.
        """

    @abstractmethod
    def complete(self, key: RequestKey, granted: Granted, answer: Answer) -> None:
        """Store the answer. Raises `Stale` when the claim was taken over, completed or swept."""

    @abstractmethod
    def abandon(self, key: RequestKey, granted: Granted) -> None:
        """Delete an uncompleted claim; the key is unused again. Idempotent."""

    @abstractmethod
    def end_lease(self, key: RequestKey, granted: Granted) -> None:
        """End the lease of an uncompleted claim at once; the key stays claimed. Idempotent."""

    @abstractmethod
    def sweep(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` keys first claimed before `before`. Returns how many."""
