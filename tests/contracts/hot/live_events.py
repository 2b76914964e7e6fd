"""Live events, and streams whose listeners a test can let expire."""

from collections.abc import Callable
from uuid import UUID

from msgspec import Struct

from repositories.hot import LiveEvent, Streams
from repositories.hot.streams_port import Delta, Position

ALL = 10_000


class Clock:
    """A clock in seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class StreamsUnderTest(Struct, frozen=True):
    """The streams under test. After `leave`, these accounts are no longer listeners."""

    streams: Streams
    leave: Callable[[list[UUID]], object]


def event(text: object = "x") -> LiveEvent:
    return LiveEvent(f"{text}", "post", f'{{"n":"{text}"}}'.encode())


def events(count: int) -> list[LiveEvent]:
    return [event(number) for number in range(count)]


def read(streams: Streams, account_id: UUID, at: Position, limit: int = ALL) -> Delta:
    [delta] = streams.since([(account_id, at)], limit=limit)
    return delta
