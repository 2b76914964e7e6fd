"""Read-your-writes over replicas: which writes a client has made, and which reads may be late (decision 27).

A position says how far a store's log was after a write. It is 24 hexadecimal digits, a greater one is of a later
write, and only the adapter that made it knows more. A request collects the positions of its writes here; its reads
go to a replica that is as far, or to the primary.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Final, Literal

from msgspec import Struct

from repositories import meter

Positions = Mapping[str, str]
# Replicas that are later than this are not read, so positions older than `KEPT_SECONDS` are not needed.
LATEST_SECONDS: Final = 30.0
KEPT_SECONDS: Final = 3600
# The longest that a read waits for replicas before it goes to the primary.
WAIT_SECONDS: Final = 0.1
# So long a replica that failed is not asked.
REST_SECONDS: Final = 1.0
# By store, part of the store and method: reads of which nothing is cached, decided or promised to others.
MAY_LAG: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "relational": {"graph": ("following", "followers"), "likes": ("beside_follows",)},
    "documents": {"posts": ("page", "tags"), "comments": ("page", "get"), "products": ("page", "facets")},
}


class ReplicaState(Struct, frozen=True):
    """As it was seen last. The lag is None where it is not known, as of one that does not answer."""

    serves: bool
    lag_seconds: float | None = None
    lag_bytes: int | None = None


# A `member` is one of equals; a `stale primary` takes writes that would be lost. `not connected`: nothing is known yet.
ServerState = Literal["primary", "replica", "member", "stale primary", "away", "not connected"]


class HostState(Struct, frozen=True):
    """A server of a store, as this process has seen it last, for operators: `name` is what it is connected to by."""

    name: str
    state: ServerState


class Seen:
    """Of one request. `positions` are those of the client's last writes, by store; `reads`: replicas may be read.

    `late`: one has answered, so what is made of it is for this client only.
    """

    __slots__ = ("late", "positions", "reads", "wrote")

    def __init__(self, positions: Positions, *, reads: bool) -> None:
        self.positions = dict(positions)
        self.reads = reads
        self.wrote = self.late = False

    def note(self, store: str, position: str) -> None:
        """The client has written, or has been shown, what is at this position."""
        if position >= self.positions.get(store, ""):
            self.positions[store] = position
            self.wrote = True


class Elsewhere(Exception):
    """No replica answers this read. `reason` is a label of metrics: `behind`, `away` or `failed`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_seen: ContextVar[Seen | None] = ContextVar("quartet-seen", default=None)


def writing() -> Seen | None:
    """That of a request that changes something. None without replicas."""
    seen = _seen.get()
    return None if seen is None or seen.reads else seen


def begin(positions: Positions, *, reads: bool) -> Seen:
    """For this thread's request. `reads` is for requests that change nothing."""
    seen = Seen(positions, reads=reads)
    _seen.set(seen)
    return seen


@contextlib.contextmanager
def primary() -> Iterator[None]:
    """No replica is read inside, as where something is read to be kept for others. What begins inside ends with it."""
    token = _seen.set(None)
    try:
        yield
    finally:
        _seen.reset(token)


def current() -> Seen | None:
    return _seen.get()


def is_late() -> bool:
    """Whether a replica has answered this request, which may lack what others have been shown by now."""
    seen = _seen.get()
    return seen is not None and seen.late


def reading() -> Seen | None:
    """That of a request whose reads may go to replicas."""
    seen = _seen.get()
    return seen if seen is not None and seen.reads else None


def merged(one: Positions, other: Positions) -> dict[str, str]:
    """The greater of each."""
    return {store: max(one.get(store, ""), other.get(store, "")) for store in {*one, *other}}


def read(store: str, *, elsewhere: str | None = None) -> None:
    """Report a read that may go to a replica; `elsewhere` is why it did not."""
    seen = _seen.get()
    if seen is not None and elsewhere is None:
        seen.late = True
    meter.counted("replica_reads", 1, store, elsewhere or "replica")


def notes_of(states: Sequence[ReplicaState]) -> list[str]:
    """What is amiss with replicas, for people."""
    idle = sum(not state.serves for state in states)
    return [f"{idle} of {len(states)} replicas are away or too far behind"] if idle else []
