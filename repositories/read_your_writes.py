"""Read-your-writes over replicas: which writes a client has made, and which reads may be late (decision 27).

A position is the end of a store's log after a write: 24 hexadecimal digits, greater for later writes, and otherwise
opaque outside the adapter that made it. A request collects the positions of its writes here. Its reads go to a replica
that has reached the client's positions, or to the primary.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Final, Literal

from msgspec import Struct

from repositories import meter

Positions = Mapping[str, str]
# Replicas with a greater lag are not read, so positions older than `KEPT_SECONDS` are not needed.
LATEST_SECONDS: Final = 30.0
KEPT_SECONDS: Final = 3600
# The longest that a read waits for replicas before it goes to the primary.
WAIT_SECONDS: Final = 0.1
# How long a replica is not asked after it failed.
REST_SECONDS: Final = 1.0
# The reads that may go to a replica, by store, part of the store and method. Nothing that they return is cached for
# other clients or decides a write.
MAY_LAG: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "relational": {"graph": ("following", "followers"), "likes": ("beside_follows",)},
    "documents": {"posts": ("page", "tags"), "comments": ("page", "get"), "products": ("page", "facets")},
}


class ReplicaState(Struct, frozen=True):
    """A replica as last seen. The lag is None if it is unknown, for example because the replica does not answer."""

    serves: bool
    lag_seconds: float | None = None
    lag_bytes: int | None = None


# A `member` is a node without a special role; a `stale primary` takes writes that would be lost. `not connected`:
# nothing is known yet.
ServerState = Literal["primary", "replica", "member", "stale primary", "away", "not connected"]


class HostState(Struct, frozen=True):
    """A server of a store as this process last saw it, for operators. `name` is the address used to connect."""

    name: str
    state: ServerState


class Seen:
    """The read-your-writes state of one request.

    `positions` are those of the client's last writes, by store. `reads`: replicas may be read. `late`: a replica has
    answered, so the result may be shown to this client only.
    """

    __slots__ = ("late", "positions", "reads", "wrote")

    def __init__(self, positions: Positions, *, reads: bool) -> None:
        self.positions = dict(positions)
        self.reads = reads
        self.wrote = self.late = False

    def note(self, store: str, position: str) -> None:
        """Record that the client has written, or has been shown, data at this position."""
        if position >= self.positions.get(store, ""):
            self.positions[store] = position
            self.wrote = True


class Elsewhere(Exception):
    """No replica can answer this read. `reason` is a metric label: `behind`, `away` or `failed`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_seen: ContextVar[Seen | None] = ContextVar("quartet-seen", default=None)


def writing() -> Seen | None:
    """The state of a request that may write; None for other requests, and without replicas."""
    seen = _seen.get()
    return None if seen is None or seen.reads else seen


def begin(positions: Positions, *, reads: bool) -> Seen:
    """Start the state of this thread's request. `reads` is True for requests that change nothing."""
    seen = Seen(positions, reads=reads)
    _seen.set(seen)
    return seen


@contextlib.contextmanager
def primary() -> Iterator[None]:
    """Read only from the primary inside the block, for example to fill a cache that others read.

    A state that begins inside ends with the block.
    """
    token = _seen.set(None)
    try:
        yield
    finally:
        _seen.reset(token)


def current() -> Seen | None:
    return _seen.get()


def is_late() -> bool:
    """Whether a replica has answered this request: it may lack data that other clients have already been shown."""
    seen = _seen.get()
    return seen is not None and seen.late


def reading() -> Seen | None:
    """The state of a request whose reads may go to replicas; None for other requests."""
    seen = _seen.get()
    return seen if seen is not None and seen.reads else None


def merged(one: Positions, other: Positions) -> dict[str, str]:
    """The greater position of each store."""
    return {store: max(one.get(store, ""), other.get(store, "")) for store in {*one, *other}}


def read(store: str, *, elsewhere: str | None = None) -> None:
    """Report a read that may go to a replica; `elsewhere` is the reason why it went to the primary."""
    seen = _seen.get()
    if seen is not None and elsewhere is None:
        seen.late = True
    meter.counted("replica_reads", 1, store, elsewhere or "replica")


def notes_of(states: Sequence[ReplicaState]) -> list[str]:
    """Problems with replicas, one line each, for display."""
    idle = sum(not state.serves for state in states)
    return [f"{idle} of {len(states)} replicas are away or too far behind"] if idle else []
