"""Publishes to RabbitMQ: persistent and mandatory messages with publisher confirms, a window at a time.

Awaiting confirms one by one costs twenty times as much as a window of them. At most one message of each key is
unconfirmed at a time, since a queue that rejects one (`reject-publish`) may accept the next.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import takewhile
from typing import Any

import amqp
from amqp.exceptions import AMQPError

from repositories.errors import Unavailable
from repositories.meter import asked
from repositories.sinks.port import CONTENT_TYPE, ROLE, Destination, Message, Sent, Sink
from repositories.sinks.rabbitmq import topology
from repositories.sinks.rabbitmq.target import target_of
from repositories.translation import Translation

WINDOW = 500
_PERSISTENT = 2
_DRIVER = (AMQPError, OSError)
_TRANSLATED = Translation(_DRIVER, lambda error: Unavailable(ROLE, f"RabbitMQ: {type(error).__name__}: {error}"))


class _Publisher:
    """A connection with one channel in confirm mode, and the results of the last `publish`."""

    def __init__(self, connection: amqp.Connection, exchange: str) -> None:
        self.connection = connection
        self._exchange = exchange
        self._channel: Any = connection.channel()
        self._channel.confirm_select()
        for event, answer in (("basic_ack", self._acked), ("basic_nack", self._nacked)):
            self._channel.events[event].add(answer)
        self._channel.events["basic_return"].add(self._returned)
        self._tag = 0
        # The unconfirmed messages by ascending delivery tag, and their keys.
        self._open: dict[int, Message] = {}
        self._keys: set[str] = set()
        self._returns: dict[str, str] = {}
        self.refusal: str | None = None
        self.kept: set[str] = set()

    def publish(self, messages: Sequence[Message], until: float) -> None:
        """Publish until every message is answered; stop publishing after a refusal. Raises `OSError` (`TimeoutError`
        at `until`, by `time.monotonic`) and `AMQPError`.
        """
        self.kept.clear()
        for message in messages:
            while message.key in self._keys or len(self._open) == WINDOW:
                self._drain(until)
            if self.refusal:
                break
            self._publish(message)
        while self._open:
            self._drain(until)

    def _publish(self, message: Message) -> None:
        self._tag += 1
        self._open[self._tag] = message
        self._keys.add(message.key)
        properties = {
            "delivery_mode": _PERSISTENT,
            "content_type": CONTENT_TYPE,
            "message_id": message.id,
            "type": message.type,
            "app_id": "quartet",
        }
        made = amqp.Message(message.body, application_headers={"partitionkey": message.key}, **properties)
        self._channel.basic_publish(made, self._exchange, message.type, mandatory=True)

    def _drain(self, until: float) -> None:
        """Wait until one or more answers arrive."""
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no confirm in time")
        self.connection.drain_events(timeout=left)

    def _acked(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - as py-amqp calls it
        for message in self._answered(tag, multiple=multiple):
            # An unroutable message is returned first and then acked.
            if message.id in self._returns:
                self.refusal = f"no queue takes {message.type}: {self._returns.pop(message.id)}"
            else:
                self.kept.add(message.id)

    def _nacked(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - as py-amqp calls it
        if list(self._answered(tag, multiple=multiple)):
            self.refusal = "a queue is full, or has failed"

    def _returned(self, error: Exception, _exchange: str, _key: str, message: amqp.Message) -> None:
        self._returns[message.message_id] = getattr(error, "reply_text", "")

    def _answered(self, tag: int, *, multiple: bool) -> Iterable[Message]:
        tags = list(takewhile(tag.__ge__, self._open)) if multiple else [tag]
        answered = [self._open.pop(one) for one in tags if one in self._open]
        self._keys.difference_update(one.key for one in answered)
        return answered


class RabbitSink(Sink):
    batch = window = 1000

    def __init__(self, url: str, *, timeout: timedelta) -> None:
        self._target = target_of(url)
        self._seconds = timeout.total_seconds()
        self._publisher: _Publisher | None = None
        self.name = self._target.name
        self.destination = Destination("rabbitmq", self._target.exchange)

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        with asked(ROLE, "migrate"), _TRANSLATED, self._connect() as connection:
            return topology.migrate(connection, self._target, dry_run=dry_run)

    def send(self, messages: Sequence[Message], more: Callable[[], Sequence[Message]] = tuple) -> Sent:  # noqa: ARG002  it waits for answers
        until, kept = time.monotonic() + self._seconds, set[str]()
        failure: Unavailable | None = None
        try:
            with asked(ROLE, f"send {self.name}"):
                self._send(messages, until, kept)
        except Unavailable as error:
            self._drop()
            failure = error
        count = next((n for n, message in enumerate(messages) if message.id not in kept), len(messages))
        return Sent(count, failure)

    def close(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher:
            with suppress(*_DRIVER):
                publisher.connection.close()

    def _send(self, messages: Sequence[Message], until: float, kept: set[str]) -> None:
        publisher = self._publisher = self._publisher or self._open()
        try:
            with _TRANSLATED:
                publisher.publish(messages, until)
        finally:
            kept |= publisher.kept
        if publisher.refusal:
            raise Unavailable(ROLE, publisher.refusal)

    def _open(self) -> _Publisher:
        with _TRANSLATED:
            connection = self._connect()
            try:
                topology.check(connection, self._target)
                return _Publisher(connection, self._target.exchange)
            except BaseException:
                connection.collect()
                raise

    def _connect(self) -> amqp.Connection:
        """Connect to the first host that answers. Timeouts replace heartbeats, which detect a frozen broker late."""
        each = self._seconds / len(self._target.connections)
        deadlines = {"connect_timeout": each, "read_timeout": each, "write_timeout": each, "heartbeat": 0}
        failure: Exception = OSError("no host")
        for options in self._target.connections:
            connection = amqp.Connection(**options, **deadlines)
            try:
                connection.connect()
            except _DRIVER as error:
                failure = error
                connection.collect()
            else:
                return connection
        raise failure

    def _drop(self) -> None:
        """Close the socket without the closing handshake, since the broker may not answer."""
        publisher, self._publisher = self._publisher, None
        if publisher:
            publisher.connection.collect()
