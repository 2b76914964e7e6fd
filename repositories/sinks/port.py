"""The port of the sinks role: message brokers and receivers of webhooks to which events are sent.

A sink is not a store: Quartet never reads back what it has sent.
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
    """One event in its envelope. `id` is the event's id, so it is the same each time the event is sent.

    `key` is the aggregate: messages with the same key are delivered in order. `type` is the envelope's type.
    """

    id: str
    key: str
    type: str
    body: bytes

    @property
    def traceparent(self) -> str:
        """The `traceparent` in the envelope, from the request that caused the event; empty if that was not traced."""
        before, found, behind = self.body.rpartition(b'"traceparent":"')
        return behind.partition(b'"')[0].decode() if found and before else ""


class Refused(Exception):
    """The sink answered that it will never accept this message as it is. Returned in `Sent.failure`, never raised."""


class Gone(Exception):
    """The sink wants no more messages at all. Returned in `Sent.failure`, never raised."""


class AskedToWait(Unavailable):
    """The sink asks to be sent nothing for the period `wait`."""

    def __init__(self, store: str, reason: str, wait: timedelta) -> None:
        super().__init__(store, reason)
        self.wait = wait


class Destination(Struct, frozen=True):
    """The destination of messages as traces name it. `system` is `kafka`, `rabbitmq`, or `http` (a webhook receiver).

    `name` is the topic, the exchange, or the receiver's host: never the path of its URL, which may contain a secret.
    """

    system: str
    name: str


class Sent(Struct, frozen=True):
    """The sink has acknowledged the first `count` messages. `failure` is why the next one was not acknowledged; it is
    None if all were, or if the next one was not tried.

    That message and later ones may have been stored all the same: without an acknowledgement this is unknown.
    """

    count: int
    failure: Unavailable | Refused | Gone | None = None


class Sink(Protocol):
    """Not thread-safe. Connects on first use, and again after a failure."""

    # Identifies the cursor of the sink; unique within one deployment.
    name: str
    destination: Destination
    # The best number of messages to pass at once.
    batch: int = 500
    # `send` is given further messages by `more` while it has had fewer than this.
    window: int = 500

    @abstractmethod
    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Create the topic, or the exchange with its queue, if it is missing; never change an existing one. Returns one
        line per step. Raises `Unavailable`, also if one of this name exists and is of another kind.
        """

    @abstractmethod
    def send(self, messages: Sequence[Message], more: Callable[[], Sequence[Message]] = tuple) -> Sent:
        """Send the messages in order, and wait until all are acknowledged, one fails, or the deadline passes. Raises
        nothing.

        While acknowledgements are outstanding, a sink may call `more` for further messages. It sends and counts these
        too, until `more` returns none.

        A message is never stored ahead of an earlier one with the same key. So a caller that sends again from the first
        unacknowledged message may repeat messages, but consumers first see the messages of one key in order.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection. Messages without acknowledgement may or may not have been stored."""
