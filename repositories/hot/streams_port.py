"""Live events: a bounded stream for each account that listens, numbered without gaps.

Only an account that listens has a stream. Its events have consecutive numbers within a random `epoch`. The epoch ends
with the stream: when nobody has listened for longer than `LISTENING`, or when the store has lost it. So a reader that
returns with (epoch, number) either gets every event since then, or learns that some are lost. Every method may raise
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
    """`key` is the id of what happened: an event that is appended twice is stored once (within the last `KEPT`)."""

    key: str
    name: str
    data: bytes


class Delta(Struct, frozen=True):
    """The events after a position. `lost`: some of them no longer exist, and `events` is empty.

    `position` is where to continue. Its epoch is empty if the account has no stream: call `listen` again.
    """

    position: Position
    events: tuple[LiveEvent, ...]
    lost: bool


def new_epoch() -> str:
    return secrets.token_hex(8)


def lost(end: Position) -> Delta:
    return Delta(end, (), lost=True)


def gone() -> Delta:
    """The answer for an account without a stream."""
    return lost(Position("", 0))


class Streams(Store, Protocol):
    @abstractmethod
    def listen(self, account_id: UUID) -> Position:
        """Make the account a listener until `LISTENING` from now. Returns the end of its stream."""

    @abstractmethod
    def listeners(self, *, after: UUID | None, limit: int) -> list[UUID]:
        """Accounts that listen, by ascending id, strictly above `after`."""

    @abstractmethod
    def append(self, account_ids: Collection[UUID], event: LiveEvent) -> None:
        """Add the event to the streams of those accounts that listen.

        At most one round trip for each 1,000 accounts to find the listeners, and one for each 250 of these.
        """

    @abstractmethod
    def since(self, positions: Sequence[tuple[UUID, Position]], *, limit: int) -> list[Delta]:
        """What came after each account's position, the oldest `limit` events each. An account may occur twice.

        One round trip if there are no new events, two otherwise.
        """

    def watch(self, appended: Callable[[Collection[UUID]], None]) -> bool:  # noqa: ARG002  a store that cannot tell
        """Have `appended` called, in a thread of the store, soon after accounts may have got an event.

        Without accounts the call means that any may have. Returns False if the store cannot notify. Notifications may
        be lost or superfluous, so callers have to poll now and then as well.
        """
        return False
