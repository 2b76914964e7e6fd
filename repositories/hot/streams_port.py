"""Live events: a bounded stream for each account that listens, numbered without gaps.

Only who listens has a stream. Its events bear consecutive numbers under a random `epoch`; the epoch ends with the
stream, when nobody has listened for longer than `LISTENING`, or when the store has lost it. So a reader who comes
back with (epoch, number) either gets every event since, or learns that some are lost. Every method may raise
`Unavailable`.
"""

import secrets
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from repositories.store import Store

LISTENING = timedelta(minutes=15)
KEPT = 500


class Position(Struct, frozen=True):
    epoch: str
    number: int


class LiveEvent(Struct, frozen=True):
    """`key` is the id of what happened: an event that is appended twice is kept once (within the last `KEPT`)."""

    key: str
    name: str
    data: bytes


class Delta(Struct, frozen=True):
    """What came after a position. `lost`: some of it is no longer there, and `events` are empty.

    `position` is where to go on from. Its epoch is empty when the account has no stream: `listen` again.
    """

    position: Position
    events: tuple[LiveEvent, ...]
    lost: bool


def new_epoch() -> str:
    return secrets.token_hex(8)


def lost(end: Position) -> Delta:
    return Delta(end, (), lost=True)


def gone() -> Delta:
    """There is no stream."""
    return lost(Position("", 0))


class Streams(Store, Protocol):
    @abstractmethod
    def listen(self, account_id: UUID) -> Position:
        """Make the account a listener for `LISTENING` from now, or prolong it. Returns the end of its stream."""

    @abstractmethod
    def listeners(self, *, after: UUID | None, limit: int) -> list[UUID]:
        """Accounts that listen, by ascending id, strictly above `after`."""

    @abstractmethod
    def append(self, account_ids: Collection[UUID], event: LiveEvent) -> None:
        """Add the event to the streams of those of them that listen.

        One round trip to see who listens, for 1,000 accounts, and another when any of them does.
        """

    @abstractmethod
    def since(self, positions: Sequence[tuple[UUID, Position]], *, limit: int) -> list[Delta]:
        """What came after each account's position, the oldest `limit` events each. An account may be there twice.

        One round trip when nothing came, two otherwise.
        """

    def watch(self, appended: Callable[[Collection[UUID]], None]) -> bool:  # noqa: ARG002  a store that cannot tell
        """Call this, from a thread of the store's, soon after accounts may have got an event; with none, any may have.

        False where the store cannot tell. Calls may be missing or too many, so it is looked at now and then as well.
        """
        return False
