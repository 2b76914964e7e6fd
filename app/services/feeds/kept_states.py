"""What a poll is checked against without asking the truth: two kept values, which the cache gives with the page.

*Flight*, one for all: the authors of posts in flight, and what concerns every reader. Whoever publishes drops it before
the 201. *A reader's state*: under which basis pages count, and whom the reader follows. Whoever follows, unfollows,
blocks, likes or unlikes drops it before the answer. They are read before the page, as the truth is.

A drop may fail while others still read the cache. So flight is trusted for `SECONDS` from when its reading began, by
the clock of the cache's server, and whoever could not drop waits that long (`lost_drops.py`). All else that changes is
found in the next flight: a post that tops lack and a drop that failed in `lost`, an author who is pulled in `pulled`.
Of a reader who might be put to sleep nothing is kept.
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
from app.services.feeds.page_truth import PageTruth
from app.services.feeds.timelines import Timelines
from repositories.errors import Unavailable
from repositories.hot import Cache, Fill, Held, Value, lease_of, stored_under
from repositories.read_your_writes import primary
from repositories.relational import RelationalStore

T = TypeVar("T")
# For how long flight is trusted: while nothing is in flight, and otherwise.
SECONDS, BUSY_SECONDS = 1.0, 0.25
# Flight is not kept until `lost` has been the same for so long: whoever counts there need not wait each time.
STEADY_SECONDS = 5.0
# The truth is asked this often at least, which notes that the reader is there.
STATE_SECONDS = timedelta(minutes=15)
MOST_FOLLOWED = MOST_PULLED = 1000
ID = 16
FLIGHT, STATE = "in-flight@1", "home-state@1:"


class Flight(Struct, frozen=True, array_like=True):
    """`authors` are ids side by side. `pulled` stands for who is pulled, and since when."""

    lost: int
    pulled: bytes
    authors: bytes


class KeptState(Struct, frozen=True, array_like=True):
    """Of a reader of whom nothing is to be pulled. `until` counts seconds since 1970; `followed` is None for many."""

    basis: Basis
    pulled: bytes
    until: float
    followed: bytes | None


class Glance(Struct, frozen=True):
    """Under which `basis` a page may be answered; if under none, which `key` is to be kept for that, `stamp` if it is
    stored. `flight` is what a state has to agree with. `absent`: there is no such page."""

    basis: Basis | None = None
    key: str | None = None
    stamp: bytes = b""
    flight: Flight | None = None
    absent: bool = False


class Begun(Struct, frozen=True):
    """A key that is being loaded since `at`, by `time.monotonic`."""

    key: str
    lease: bytes
    at: float
    flight: Flight | None

    @property
    def is_of_all(self) -> bool:
        return self.key == FLIGHT


class KeptStates:
    """Never fails for the cache's sake. `steady` are `STEADY_SECONDS`, but in tests."""

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
        # What `lost` was when it was last read, and since when this process knows it to be that.
        self._lost = (-1, 0.0)
        self._asked = -SECONDS

    def glance(self, reader: UUID, kept: Sequence[Held | None]) -> Glance:
        """What is said by what was read of `keys_of` the reader."""
        flight, state = kept
        known = _decoded(flight, _FLIGHTS)
        if known is None:
            return Glance(key=FLIGHT)
        own = _decoded(state, _STATES)
        if own is None or (own.basis.lost, own.pulled) != (known.lost, known.pulled) or self._is_over(own):
            return Glance(key=state_key(reader), stamp=state.stamp if state else b"", flight=known)
        if known.authors and (own.followed is None or _meet(known.authors, own.followed + reader.bytes)):
            return Glance()
        return Glance(own.basis)

    def begin(self, glance: Glance) -> Begun | None:
        """Before the truth is looked at, for `keep` after it."""
        at = time.monotonic()
        if glance.key is None:
            return None
        if glance.key == FLIGHT:
            # It ends before it is asked for again where few read.
            last, self._asked = self._asked, at
            if at - last >= SECONDS or at - self._lost[1] < self.steady:
                return None
        lease = lease_of(self._cache, glance.key, glance.stamp)
        return Begun(glance.key, lease, at, glance.flight) if lease else None

    def keep(self, reader: UUID, begun: Begun | None, look: PageTruth) -> None:
        """What was looked at since then."""
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

    def _flight(self, begun: Begun, look: PageTruth) -> Fill | None:
        """Posts in flight were read before the rest of it."""
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

    def _state(self, reader: UUID, begun: Begun, look: PageTruth) -> Fill | None:
        state, flight = look.state, begun.flight
        if flight is None or flight.lost != state.lost or state.state != "awake" or state.pulled:
            return None
        with primary():
            followed = self._relational.graph.following(reader, before=None, limit=MOST_FOLLOWED + 1)
        ids = b"".join(edge.account_id.bytes for edge in followed) if len(followed) <= MOST_FOLLOWED else None
        until = min(self._clock() + STATE_SECONDS, self._timelines.awake_until(state)).timestamp()
        body = msgspec.msgpack.encode(KeptState(Basis.of(state), flight.pulled, until, ids))
        return Fill(begun.lease, Value(body), STATE_SECONDS.total_seconds())

    def _is_over(self, state: KeptState) -> bool:
        return self._clock().timestamp() >= state.until


def keys_of(reader: UUID) -> list[str]:
    """In the order in which `KeptStates.glance` takes them."""
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


def _meet(some: bytes, others: bytes) -> bool:
    return not _split(some).isdisjoint(_split(others))


def _split(packed: bytes) -> set[bytes]:
    return {packed[at : at + ID] for at in range(0, len(packed), ID)}
