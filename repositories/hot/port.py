"""Hot data, in two stores that fail independently: sessions, which are a source of truth, and a cache, which is not."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.read_your_writes import Positions
from repositories.records.people import Ending, Session
from repositories.store import Store

# Arguments: since, after, limit. At most `limit` endings noted at `since` or later, in the order of time and id; with
# `after`, only those behind the ending with this id.
NotedEndings = Callable[[datetime, UUID | None, int], Sequence[Ending]]


class SessionStore(Store, Protocol):
    """Signed-in devices. A session is found by the digest of its token; the token itself is not stored."""

    @abstractmethod
    def add(self, session: Session, digest: bytes) -> None:
        """Store a session. Durable when it returns; with an append-only file a machine crash may lose one second."""

    @abstractmethod
    def find(self, digest: bytes, *, now: datetime) -> Session | None:
        """The session, unless it was ended or `now` has reached its `expires_at`.

        If the store was opened with `seen`, the session's `seen` has the account's positions from `note_seen`.
        """

    @abstractmethod
    def note_use(self, session: Session, digest: bytes) -> None:
        """Replace the stored session, to update `used_at` and `address`. An ended session is not restored.

        Of two concurrent calls either may win.
        """

    @abstractmethod
    def note_seen(self, account_id: UUID, positions: Positions) -> None:
        """Keep the greater position of each store for `KEPT_SECONDS`. The next `find` in the account returns them."""

    @abstractmethod
    def of_account(self, account_id: UUID, *, now: datetime) -> list[Session]:
        """The account's live sessions, newest first by id."""

    @abstractmethod
    def end(self, account_id: UUID, session_id: UUID) -> bool:
        """End one session: no later `find`, in any process, returns it. False if the account has no such session.

        An expired session may still count as existing until the store removes it.
        """

    @abstractmethod
    def end_all(self, account_id: UUID, *, keep: UUID | None) -> None:
        """End every session of the account except `keep`. Idempotent."""


class Value(Struct, frozen=True, array_like=True):
    """The value stored under one key of the cache. A `body` of None means that the source has no such thing.

    `note` is what readers need without parsing the body, such as an author's id. `cost` is how many seconds it took to
    make the value. The order of the fields is the storage format.
    """

    body: bytes | None
    version: int = 0
    etag: str = ""
    note: bytes = b""
    cost: float = 0.0


class Held(Struct, frozen=True):
    """A value read from the cache. It is due in `left` seconds; below zero it is stale.

    `stamp` identifies what is stored. `age` is the seconds since the fill, `more` what `Cache.extend` has added since.
    """

    value: Value
    left: float
    stamp: bytes
    age: float = 0.0
    more: bytes = b""


class Fill(Struct, frozen=True):
    """A value to be stored under a lease, due after `fresh` seconds and gone after `fresh + stale`.

    `parts` are the other keys that it was made of, each with the stamp of the value that was read; see `Cache.whole`.
    With `since`, a time of `time.monotonic`, `fresh` counts from then, without jitter: however late the store gets the
    fill, the value is gone `fresh` seconds after `since`, or is not stored.
    """

    lease: bytes
    value: Value
    fresh: float
    stale: float = 0.0
    parts: Mapping[str, bytes] = {}
    since: float | None = None


class Cache(Store, Protocol):
    """Cache-aside with a fence: a value read from the source before an invalidation cannot be stored after it.

    The caller that is to load a key gets a lease; only one caller in all processes holds it at a time. The lease names
    the key's generation. `drop` ends the generation together with the value, and `fill` stores only while it lasts
    (Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013). Names of generations are random and never reused, so
    the store may lose keys at any time: the only effect is that a fill is refused. Every key has a time to live, by the
    store's own clock. Stamps and leases are opaque to callers. Every method may raise `Unavailable`; a key that is not
    valid Unicode raises `Invalid`.
    """

    @abstractmethod
    def read(self, keys: Sequence[str]) -> list[Held | None]:
        """The stored value of each key, in order, stale or not; None for a missing one. One round trip."""

    @abstractmethod
    def whole(self, key: str, *, exact: bool = False) -> Held | None:
        """Like `read` of one key, but only while every part that the value was made of is stored with the same stamp.

        So dropping, replacing or losing a part invalidates, in the same atomic step, every value made of it. An
        invalid value is removed. One round trip, or none: a client may answer from its memory for a moment after a
        read, provided that `drop`, `void` and `outwait` of all clients wait until that moment has passed. `extend` does
        not wait: with `exact` the store is always asked, so that its changes count too.
        """

    def whole_beside(
        self,
        key: str,
        keys: Sequence[str],
        *,
        exact: bool = False,
    ) -> tuple[Held | None, list[Held | None]]:
        """`read` of some keys, then `whole` of one: two round trips, or one if a single server has them all."""
        beside = self.read(keys)
        return self.whole(key, exact=exact), beside

    @abstractmethod
    def lease(self, seen: Mapping[str, bytes]) -> list[Held | bytes | None]:
        """Ask to load keys. `seen` has the stamp of the value last read of each, b"" for none. One round trip.

        Returns for each key, in order: the stored value, if it is not the one seen; otherwise a lease for the caller,
        or None while another caller is loading the key. A lease ends with `fill` or `release`, or is voided.
        After a second the next caller gets a lease of the same generation; the first of the two to fill wins.
        """

    @abstractmethod
    def fill(self, fills: Mapping[str, Fill]) -> set[str]:
        """Store values under leases still in force and end these leases. Returns the stored keys. One round trip.

        `fresh` is varied at random by up to a tenth, so that values stored together are not due together. A value
        above the adapter's size limit is not stored, nor one with a part that is not stored under the given stamp.
        """

    @abstractmethod
    def release(self, leases: Mapping[str, bytes]) -> None:
        """End leases without storing a value: the next caller gets a lease at once. One round trip."""

    @abstractmethod
    def drop(self, keys: Collection[str]) -> None:
        """Remove values and void leases. Once it has returned, nobody gets the old value. One round trip."""

    @abstractmethod
    def extend(self, keys: Collection[str], more: bytes, *, most: int) -> None:
        """Append bytes to the stored value of each key, under a new stamp, and void the leases. One round trip.

        A key without a value stays without one. A value with more than `most` appended bytes in all is removed instead.
        """

    @abstractmethod
    def void(self, *, unless_done: bool = False) -> None:
        """Remove all values and void all leases that exist at the call. One round trip.

        With `unless_done` it may do nothing if another client has done so since this one last read.
        """

    @abstractmethod
    def outwait(self) -> None:
        """Wait until no `whole` returns a value made of parts that were replaced before the call.

        Call it after replacing a value by `fill` because the source changed. Makes no call to the store.
        """
