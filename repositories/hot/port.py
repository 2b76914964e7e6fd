"""Hot data, in two stores that fail apart: sessions, which are the truth, and a cache, which is not."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.records import Session


class Sessions(Protocol):
    """Signed-in devices. A session is found by the digest of its token; the token itself is nowhere."""

    @abstractmethod
    def add(self, session: Session, digest: bytes) -> None:
        """Durable when it returns (append-only file, one second at most lost with the machine)."""

    @abstractmethod
    def find(self, digest: bytes, *, now: datetime) -> Session | None:
        """The session, unless it was ended or `now` has reached its `expires_at`."""

    @abstractmethod
    def of_account(self, account_id: UUID, *, now: datetime) -> list[Session]:
        """The account's live sessions, newest first by id."""

    @abstractmethod
    def end(self, account_id: UUID, session_id: UUID) -> bool:
        """End one session from the next `find` on, everywhere. False when the account has no such session.

        One that has expired may count as there until the store has forgotten it.
        """

    @abstractmethod
    def end_all(self, account_id: UUID, *, keep: UUID | None) -> None:
        """End every session of the account but `keep`. Idempotent."""

    @abstractmethod
    def migrate(self, *, dry_run: bool = False) -> list[str]: ...

    @abstractmethod
    def ping(self) -> None:
        """Raises `Unavailable`."""

    @abstractmethod
    def close(self) -> None: ...


class Slot(Struct, frozen=True):
    """What the cache knows of one key: its value, or the permit to fill it."""

    value: bytes | None
    permit: str | None


class Cache(Protocol):
    """Cache-aside with a fence: a value read before an invalidation cannot be stored after it.

    A miss hands out a permit; `fill` stores only under the permit that is still in force, and `drop` voids it
    (the lease of Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013). Losing keys at any time is
    harmless: a lost permit only means that one fill is refused. Every key has a time to live.
    """

    @abstractmethod
    def read(self, keys: Sequence[str]) -> list[Slot]:
        """One slot per key, in order. One round trip when all hit, two otherwise.

        A miss without a permit is possible: the reader goes to the source and does not fill.
        """

    @abstractmethod
    def fill(self, values: Mapping[str, tuple[str, bytes]], *, seconds: int) -> None:
        """Store `key: (permit, value)` where the permit is still in force. One round trip.

        A fill uses its permit up. The time to live is `seconds`, give or take a tenth.
        """

    @abstractmethod
    def drop(self, keys: Collection[str]) -> None:
        """Remove values and void permits. When it returns no reader gets the old value. One round trip."""

    @abstractmethod
    def migrate(self, *, dry_run: bool = False) -> list[str]: ...

    @abstractmethod
    def ping(self) -> None:
        """Raises `Unavailable`."""

    @abstractmethod
    def close(self) -> None: ...
