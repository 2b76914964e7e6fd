"""Brokers for tests: their sinks, and consumers by independent client libraries."""

import base64
import json
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import pika
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from msgspec import Struct

from repositories.sinks import Message, Sink, open_sinks, open_webhook

from . import webhook_receiver
from .kernel import free_port, wait_until
from .process import Server

# Seconds. Both are far more than a busy machine needs.
SECONDS = 20.0
_PATIENCE = 60


class Received(Struct, frozen=True):
    id: str
    key: str
    # Empty if the type is only in the body.
    type: str
    content_type: str
    body: bytes


class Broker(ABC):
    """A broker or receiver. A `place` is an exchange with its queue, a topic, or a path, used by one test only."""

    # The number of messages to send at once.
    burst = 500

    def __init__(self, server: Server) -> None:
        self.server = server

    def place(self) -> str:
        return f"events.{uuid4().hex}"

    def sink(self, place: str, *, seconds: float = SECONDS, options: str = "") -> Sink:
        (sink,) = open_sinks(self.url(place) + options, timeout=timedelta(seconds=seconds))
        return sink

    def prepared(self, place: str) -> Sink:
        """Wait until the broker is ready. Returns a sink whose place exists and is safe."""
        sink = self.sink(place)
        assert wait_until(lambda: _try_migrate(sink), _PATIENCE)
        assert wait_until(lambda: self.is_safe(place), _PATIENCE)
        return sink

    def is_safe(self, _place: str) -> bool:
        """Whether the place would survive a crash."""
        return True

    def received(self, place: str, count: int) -> list[Received]:
        """Take all messages, after waiting for `count` of them; fewer if these do not arrive in time."""
        found: list[Received] = []

        def enough() -> bool:
            found.extend(self.take(place))
            return len(found) >= count

        wait_until(enough, _PATIENCE)
        return found + self.take(place)

    @abstractmethod
    def url(self, place: str) -> str: ...

    @abstractmethod
    def take(self, place: str) -> list[Received]:
        """Take the messages that were not taken yet."""


class Rabbit(Broker):
    def url(self, place: str) -> str:
        return f"{self.server.url}/%2F?exchange={place}"

    def take(self, place: str) -> list[Received]:
        with self._connection() as connection:
            channel, found = connection.channel(), []
            while (got := channel.basic_get(place, auto_ack=True))[0]:
                _, properties, body = got
                key = properties.headers["partitionkey"]
                found.append(
                    Received(properties.message_id, key, properties.type, properties.content_type, body),
                )
            return found

    def is_safe(self, place: str) -> bool:
        """Whether the queue's name is on disk. Before that, for a second or two, a crash loses a new quorum queue with
        all its confirmed messages (RabbitMQ 3.10.8).
        """
        names = list(self.server.folder.glob("mnesia/*/quorum/*/names.dets"))
        return any(place.encode() in file.read_bytes() for file in names)

    def change(self, work: Callable[[pika.adapters.blocking_connection.BlockingChannel], object]) -> None:
        with self._connection() as connection:
            work(connection.channel())

    def _connection(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(f"{self.server.url}/%2F"))


class Kafka(Broker):
    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._offsets: dict[tuple[str, int], int] = {}

    def url(self, place: str) -> str:
        return f"{self.server.url}/{place}?partitions=3"

    def take(self, place: str) -> list[Received]:
        client = {"bootstrap.servers": self._address, "group.id": uuid4().hex, "enable.auto.commit": False}
        consumer, found = Consumer(client), []
        try:
            for partition in consumer.list_topics(place, timeout=_PATIENCE).topics[place].partitions:
                end = _end(consumer, TopicPartition(place, partition))
                at = self._offsets.get((place, partition), 0)
                consumer.assign([TopicPartition(place, partition, at)])
                while at < end:
                    got: Any = consumer.poll(_PATIENCE)
                    assert got is not None
                    assert not got.error()
                    at, headers = got.offset() + 1, {name: value.decode() for name, value in got.headers()}
                    own = (headers["ce_id"], got.key().decode(), headers["ce_type"], headers["content-type"])
                    found.append(Received(*own, got.value()))
                self._offsets[place, partition] = at
        finally:
            consumer.close()
        return found

    def make(self, place: str, **options: str) -> None:
        admin = AdminClient({"bootstrap.servers": self._address})
        (made,) = admin.create_topics([NewTopic(place, 1, 1, config=options)]).values()
        made.result()

    def change(self, place: str, **options: str) -> None:
        """Change the configuration of a topic. Returns when the broker has applied it."""
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in options.items()
        ]
        admin = AdminClient({"bootstrap.servers": self._address})
        which = ConfigResource(ResourceType.TOPIC, place, incremental_configs=entries)
        (changed,) = admin.incremental_alter_configs([which]).values()
        changed.result()

        def known() -> bool:
            (found,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, place)]).values()
            return all(found.result()[name].value == value for name, value in options.items())

        assert wait_until(known, _PATIENCE)

    def remove(self, place: str) -> None:
        """Delete a topic with its messages. Returns when the broker does not list it any more."""
        admin = AdminClient({"bootstrap.servers": self._address})
        (gone,) = admin.delete_topics([place]).values()
        gone.result()
        assert wait_until(lambda: place not in admin.list_topics(timeout=_PATIENCE).topics, _PATIENCE)

    @property
    def _address(self) -> str:
        return self.server.url.removeprefix("kafka://")


class Webhooks(Broker):
    """A receiver of webhooks in a separate process, which stores the events in `folder`, which must exist."""

    burst = 50

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        command = [sys.executable, webhook_receiver.__file__, str(self._port), str(folder)]
        super().__init__(Server(f"http://127.0.0.1:{self._port}", command, folder, self._answers))
        self._taken: dict[str, int] = {}
        self.server.start()

    def url(self, place: str) -> str:
        return f"{self.server.url}/{place}"

    def sink(self, place: str, *, seconds: float = _PATIENCE, options: str = "") -> Sink:
        return open_webhook(
            "webhook",
            self.url(place) + options,
            [webhook_receiver.SECRET],
            timeout=timedelta(seconds=seconds),
            inside=(ip_network("127.0.0.0/8"),),
            clock=lambda: datetime.now(UTC),
        )

    def take(self, place: str) -> list[Received]:
        file = self.server.folder / place
        lines = file.read_text().splitlines()[self._taken.get(place, 0) :] if file.exists() else []
        self._taken[place] = self._taken.get(place, 0) + len(lines)
        found = map(json.loads, lines)
        return [Received(id_, id_.rpartition("-")[0], "", kind, base64.b64decode(body)) for id_, kind, body in found]

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False


def _end(consumer: Consumer, partition: TopicPartition) -> int:
    """The end offset of a partition. Waits, since a broker that has just started may not lead all partitions yet."""
    ends: list[int] = []

    def answered() -> bool:
        with suppress(KafkaException):
            ends.append(consumer.get_watermark_offsets(partition, timeout=_PATIENCE)[1])
        return bool(ends)

    assert wait_until(answered, _PATIENCE)
    return ends[0]


def message(key: str, number: int, body: bytes = b"{}") -> Message:
    return Message(f"{key}-{number}", key, "quartet.test", body)


def in_order(received: list[Received]) -> dict[str, list[int]]:
    """The message numbers of each key, in the order in which they were first received."""
    seen: dict[str, list[int]] = {}
    for one in received:
        number = int(one.id.removeprefix(f"{one.key}-"))
        if number not in seen.setdefault(one.key, []):
            seen[one.key].append(number)
    return seen


def send_all(sink: Sink, messages: list[Message]) -> None:
    """Send like the relay: after a failure, resume at the first message that is not confirmed."""
    at, failure = 0, None

    def done() -> bool:
        nonlocal at, failure
        sent = sink.send(messages[at : at + 500])
        at, failure = at + sent.count, sent.failure
        return at == len(messages)

    assert wait_until(done, _PATIENCE), failure


def _try_migrate(sink: Sink) -> bool:
    try:
        sink.migrate()
    except Exception:  # noqa: BLE001 - a broker that was just started fails in various ways
        return False
    return True
