"""The sinks role: brokers, and receivers of webhooks, to which events leave.

A sink is no store: what it has taken is read by others, elsewhere.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

from msgspec import Struct

from repositories.errors import Unavailable

ROLE = "sinks"
CONTENT_TYPE = "application/cloudevents+json"


class Message(Struct, frozen=True, gc=False):
    """One event in its envelope. `id` is that of the event, the same whenever it is sent.

    `key` is the aggregate: messages of one key are delivered in order. `type` is that of the envelope.
    """

    id: str
    key: str
    type: str
    body: bytes

    @property
    def traceparent(self) -> str:
        """Of the request that the event came from, as it stands in the envelope; empty where that was not traced."""
        before, found, behind = self.body.rpartition(b'"traceparent":"')
        return behind.partition(b'"')[0].decode() if found and before else ""


class Refused(Exception):
    """The sink answers, and will never take this message as it is. Never raised: it stands in what `send` returns."""


class Gone(Exception):
    """The sink wants nothing any more. As `Refused`."""


class AskedToWait(Unavailable):
    """The sink says how long it will take nothing."""

    def __init__(self, store: str, reason: str, wait: timedelta) -> None:
        super().__init__(store, reason)
        self.wait = wait


class Destination(Struct, frozen=True):
    """Where messages go, as traces say it: `system` is `kafka`, `rabbitmq`, or `http` for a receiver of webhooks.

    `name` is the topic, the exchange, or the receiver's host: never its path, which may hold a secret.
    """

    system: str
    name: str


class Sent(Struct, frozen=True):
    """The first `count` messages are kept by the sink. `failure` is why the next one is not, None where there was no
    time for it, or where there is none.

    It, and messages behind it, may be there all the same: what was not answered is not known.
    """

    count: int
    failure: Unavailable | Refused | Gone | None = None


class Sink(Protocol):
    """For one thread at a time. Connects when it is first used, and anew after a failure."""

    # By which its cursor is known. Two sinks of one system never have the same.
    name: str
    destination: Destination
    # How many messages it is best given at once.
    batch: int = 500
    # And how many may be under way in one `send`.
    window: int = 500

    @abstractmethod
    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Make what messages are sent to where it is missing; change nothing that is there. One line per step.

        Raises `Unavailable`, also where what is there is of another kind.
        """

    @abstractmethod
    def send(self, messages: Sequence[Message], more: Callable[[], Sequence[Message]] = tuple) -> Sent:
        """Send them in order, and wait until all are kept, one is not, or the deadline is over. Raises nothing.

        A sink that has nothing else to do while they are under way asks for `more`, which it sends too and counts with
        them, until it is given none.

        No message is sent while an earlier one of its key is not known to be kept, or can still come behind it. So
        whoever sends again from the first that was not kept repeats messages, and never changes the order in which
        those of one key are first seen.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection. What was sent and not answered may be kept or not."""
