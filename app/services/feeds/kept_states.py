"""Checks a kept page of a home feed without asking the truth, by two cached values that are read along with the page.

*Flight*, one value for all readers: the authors of posts in flight, and what concerns every feed. Publishing drops it
before the 201. *A reader's state*: the basis under which pages are valid, and the accounts the reader follows. Follow,
unfollow, block, like and unlike drop it before they answer. Both are read before the page, as the truth is.

A drop may fail while other processes still read the cache. So flight is trusted for `SECONDS` from when its reading
began, by the clock of the cache's server, and a writer whose drop failed waits that long (`lost_drops.py`). Every other
change shows in the next flight: a post that tops lack and a failed drop raise `lost`, a newly pulled author changes
`pulled`. A state is trusted only as long as the reader cannot be put to sleep.
"""

import contextlib
import hashlib
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from app.clock import Clock
from app.services.feeds.home_tops import Basis
from app.services.feeds.page_context import PageContext
from app.services.feeds.timelines import Timelines
from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, Held, Value, lease_of, stored_under
from repositories.read_your_writes import primary
from repositories.relational import RelationalStore

T = TypeVar("T")
# How long flight is trusted: if no post is in flight, and otherwise.
SECONDS, BUSY_SECONDS = 1.0, 0.25
# Flight is kept only if `lost` has not changed for this long: of several writers that raise it, only the first waits.
STEADY_SECONDS = 5.0
# The longest time a state is kept. Then the truth is asked, which also records that the reader reads.
STATE_SECONDS = timedelta(minutes=15)
MOST_FOLLOWED = MOST_PULLED = 1000
ID = 16
FLIGHT, STATE = "in-flight@1", "home-state@1:"


class Flight(Struct, frozen=True, array_like=True):
    """`authors` are concatenated ids. `pulled` is a digest of the pulled authors and since when they are pulled."""

    lost: int
    pulled: bytes
    authors: bytes


class KeptState(Struct, frozen=True, array_like=True):
    """The state of an awake reader for whom no author is pulled. `until` is in seconds since 1970. `followed` are
    concatenated ids, or None if there are more than `MOST_FOLLOWED`.
    """

    basis: Basis
    pulled: bytes
    until: float
    followed: bytes | None


class Glance(Struct, frozen=True):
    """The result of a check. A page with this `basis` may be answered. If it is None, `key` is the value to load, if
    any, and `stamp` that of its stored version; a loaded state has to agree with `flight`. `absent`: no page is kept.
    """

    basis: Basis | None = None
    key: str | None = None
    stamp: bytes = b""
    flight: Flight | None = None
    absent: bool = False


class Begun(Struct, frozen=True):
    """A load of `key` under a lease, begun at `at` (`time.monotonic`)."""

    key: str
    lease: bytes
    at: float
    flight: Flight | None

    @property
    def is_of_all(self) -> bool:
        return self.key == FLIGHT


class KeptStates:
    """Never raises because of the cache. `steady` is `STEADY_SECONDS` except in tests."""

    def __init__(
        self,
        relational: RelationalStore,
        cache: Cache,
        timelines: Timelines,
        clock: Clock,
        steady: float = STEADY_SECONDS,
    ) -> None:
        self._relational = relational
        self._cache = cache
        self._timelines = timelines
        self._clock = clock
        self.steady = steady
        # `lost` when it was last read, and since when this process has seen that value.
        self._lost = (-1, 0.0)
        self._asked = -SECONDS

    def glance(self, reader: UUID, kept: Sequence[Held | None]) -> Glance:
        """Check the cached values of `keys_of(reader)`."""
        flight, state = kept
        known = _decoded(flight, _FLIGHTS)
        if known is None:
            return Glance(key=FLIGHT)
        own = _decoded(state, _STATES)
        if own is None or (own.basis.lost, own.pulled) != (known.lost, known.pulled) or self._has_expired(own):
            return Glance(key=state_key(reader), stamp=state.stamp if state else b"", flight=known)
        if known.authors and (own.followed is None or _intersect(known.authors, own.followed + reader.bytes)):
            return Glance()
        return Glance(own.basis)

    def begin(self, glance: Glance) -> Begun | None:
        """Take a lease on the key to load, before the truth is read; pass the result to `keep` afterwards."""
        at = time.monotonic()
        if glance.key is None:
            return None
        if glance.key == FLIGHT:
            # With fewer requests than one in `SECONDS`, it would expire before its first use.
            last, self._asked = self._asked, at
            if at - last >= SECONDS or at - self._lost[1] < self.steady:
                return None
        lease = lease_of(self._cache, glance.key, glance.stamp)
        return Begun(glance.key, lease, at, glance.flight) if lease else None

    def keep(self, reader: UUID, begun: Begun | None, look: PageContext) -> None:
        """Store what was read since `begin`, or release the lease if it may not be kept."""
        lost = look.state.lost
        if self._lost[0] != lost:
            self._lost = (lost, time.monotonic())
        if begun is None:
            return
        fill = self._flight(begun, look) if begun.is_of_all else self._state(reader, begun, look)
        if fill is not None:
            stored_under(self._cache, begun.key, fill)
            return
        with contextlib.suppress(Unavailable):
            self._cache.release({begun.key: begun.lease})

    def _flight(self, begun: Begun, look: PageContext) -> Fill | None:
        """The value of flight, or None if it may not be kept. Its posts in flight were read before the rest."""
        known, since = self._lost
        if look.in_flight.end is not None or known != look.state.lost or begun.at - since < self.steady:
            return None
        pulled = self._relational.fanouts.pulled_authors(after=None, limit=MOST_PULLED + 1)
        if len(pulled) > MOST_PULLED:
            return None
        digest = hashlib.blake2b(repr(pulled).encode(), digest_size=8).digest()
        authors = b"".join({ref.author_id.bytes for ref in look.in_flight.refs})
        body = msgspec.msgpack.encode(Flight(look.state.lost, digest, authors))
        return Fill(begun.lease, Value(body), BUSY_SECONDS if authors else SECONDS, since=begun.at)

    def _state(self, reader: UUID, begun: Begun, look: PageContext) -> Fill | None:
        state, flight = look.state, begun.flight
        if flight is None or flight.lost != state.lost or state.state != "awake" or state.pulled:
            return None
        with primary():
            followed = self._relational.graph.following(reader, before=None, limit=MOST_FOLLOWED + 1)
        ids = b"".join(edge.account_id.bytes for edge in followed) if len(followed) <= MOST_FOLLOWED else None
        until = min(self._clock() + STATE_SECONDS, self._timelines.awake_until(state)).timestamp()
        body = msgspec.msgpack.encode(KeptState(Basis.of(state), flight.pulled, until, ids))
        return Fill(begun.lease, Value(body), STATE_SECONDS.total_seconds())

    def _has_expired(self, state: KeptState) -> bool:
        return self._clock().timestamp() >= state.until


def keys_of(reader: UUID) -> list[str]:
    """The keys whose values `KeptStates.glance` takes, in this order."""
    return [FLIGHT, state_key(reader)]


def state_key(reader: UUID) -> str:
    return f"{STATE}{reader}"


def is_of_feeds(key: str) -> bool:
    return key == FLIGHT or key.startswith(STATE)


_FLIGHTS, _STATES = msgspec.msgpack.Decoder(Flight), msgspec.msgpack.Decoder(KeptState)


def _decoded(held: Held | None, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
    try:
        return None if held is None else decoder.decode(held.value.body or b"")
    except msgspec.MsgspecError:
        return None


def _intersect(some: bytes, others: bytes) -> bool:
    return not _split(some).isdisjoint(_split(others))


def _split(packed: bytes) -> set[bytes]:
    return {packed[at : at + ID] for at in range(0, len(packed), ID)}
