"""Hot data, in two stores that fail apart: sessions, which are the truth, and a cache, which is not."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.read_your_writes import Positions
from repositories.records import Ending, Session
from repositories.store import Store

# The sessions that were ended, noted at a time or later: at most so many after the one of this id.
NotedEndings = Callable[[datetime, UUID | None, int], Sequence[Ending]]


class SessionStore(Store, Protocol):
    """Signed-in devices. A session is found by the digest of its token; the token itself is nowhere."""

    @abstractmethod
    def add(self, session: Session, digest: bytes) -> None:
        """Durable when it returns (append-only file, one second at most lost with the machine)."""

    @abstractmethod
    def find(self, digest: bytes, *, now: datetime) -> Session | None:
        """The session, unless it was ended or `now` has reached its `expires_at`.

        With what `note_seen` has kept of its account, where the store was opened for that.
        """

    @abstractmethod
    def note_use(self, session: Session, digest: bytes) -> None:
        """Store the session with another `used_at` and `address`, for as long as it is there: one that has ended
        stays so. Of two at once either is stored.
        """

    @abstractmethod
    def note_seen(self, account_id: UUID, positions: Positions) -> None:
        """Keep the greater of each store's positions, for `KEPT_SECONDS`: from the next `find` of any session on."""

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


class Value(Struct, frozen=True, array_like=True):
    """What the cache keeps under one key. A `body` of None says: the source is known not to have it.

    `note` is what a reader needs beside the body without parsing it, such as an author's id. `cost` is how many
    seconds it took to make. The order of these fields is the stored form.
    """

    body: bytes | None
    version: int = 0
    etag: str = ""
    note: bytes = b""
    cost: float = 0.0


class Held(Struct, frozen=True):
    """A stored value. It is due `left` seconds from now; below zero it is stale. `stamp` names this very fill.
    `age` is how many seconds ago that was. `more` is what was added by `Cache.extend` since then.
    """

    value: Value
    left: float
    stamp: bytes
    age: float = 0.0
    more: bytes = b""


class Fill(Struct, frozen=True):
    """A value to be stored under a lease, due after `fresh` seconds and gone after `fresh + stale`.

    `parts` are the other keys that it was made of, each with the stamp of the value that was read; see `Cache.whole`.
    With `since`, a moment of `time.monotonic`, `fresh` is counted from then, and not spread: however late the store
    gets it, it is gone `fresh` seconds after that moment, or is not stored.
    """

    lease: bytes
    value: Value
    fresh: float
    stale: float = 0.0
    parts: Mapping[str, bytes] = {}
    since: float | None = None


class Cache(Store, Protocol):
    """Cache-aside with a fence: a value read before an invalidation cannot be stored after it.

    Who is to load a key gets a lease, one caller at a time in all processes. It names the key's generation, which
    `drop` ends together with the value; `fill` stores only within it (Nishtala et al., "Scaling Memcache at
    Facebook", NSDI 2013). A generation's name is random and never used again, so losing keys at any time is
    harmless: where it is lost one fill is refused. Every key has a time to live, by the store's own clock. Stamps
    and leases mean nothing to callers. Every method may raise `Unavailable`; a key that is no Unicode is `Invalid`.
    """

    @abstractmethod
    def read(self, keys: Sequence[str]) -> list[Held | None]:
        """What is stored of each key, in order, stale or not. One round trip."""

    @abstractmethod
    def whole(self, key: str, *, exact: bool = False) -> Held | None:
        """As `read` of one key, and only while each of the parts it was made of is stored with the same stamp.

        `exact`: the store is asked, so that what `extend` has changed ends it too.

        So whatever drops, replaces or forgets a part ends everything made of it, in the same atomic step and without
        knowing of it. What has ended is removed. One round trip, or none: a client may answer from memory what it
        got a moment ago, if every client's `drop`, `void` and `outwait` wait until that moment is over.
        """

    def whole_beside(
        self,
        key: str,
        keys: Sequence[str],
        *,
        exact: bool = False,
    ) -> tuple[Held | None, list[Held | None]]:
        """`read` of some keys and then `whole` of one: two round trips, or one where one server has them all."""
        beside = self.read(keys)
        return self.whole(key, exact=exact), beside

    @abstractmethod
    def lease(self, seen: Mapping[str, bytes]) -> list[Held | bytes | None]:
        """Ask to load keys, each with the stamp of the value last read of it, b"" for none. One round trip.

        Of each key, in order: what is stored, when that is not what was seen; or the caller's lease; or None,
        somebody else is loading it. A lease ends by `fill`, `release` and `drop`. After a second the next to ask
        gets one of the same generation, under which the first of the two to fill wins.
        """

    @abstractmethod
    def fill(self, fills: Mapping[str, Fill]) -> set[str]:
        """Store under leases still in force and end these. Returns the keys that are stored. One round trip.

        `fresh` is taken give or take a tenth, so that what was stored together is not due together. A value
        beyond the adapter's size bound is not stored, nor one with a part that is not stored with that stamp.
        """

    @abstractmethod
    def release(self, leases: Mapping[str, bytes]) -> None:
        """End leases without a value: the next to ask gets one at once. One round trip."""

    @abstractmethod
    def drop(self, keys: Collection[str]) -> None:
        """Remove values and void leases. From its return on nobody gets the old value. One round trip."""

    @abstractmethod
    def extend(self, keys: Collection[str], more: bytes, *, most: int) -> None:
        """Add bytes to what is stored of each key, under a new stamp, and void the leases. One round trip.

        A key of which nothing is stored stays so. What would have more than `most` bytes added is removed instead.
        """

    @abstractmethod
    def void(self, *, unless_done: bool = False) -> None:
        """Remove all values and void all leases of before this call. One round trip.

        With `unless_done` it need not be, when another client has done it since this one last read.
        """

    @abstractmethod
    def outwait(self) -> None:
        """From its return on nobody gets from `whole` what was made of parts that were replaced before the call.

        For who has replaced a value by `fill` because the source changed. Asks nobody.
        """
