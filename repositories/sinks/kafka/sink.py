"""Publishes to Kafka with an idempotent producer: acknowledged by all replicas in sync, in the order of each key.

A producer that failed is dropped with all that is in it, and another one sends again: what goes on after a failure, or
sends only what failed, changes the order.
"""

import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from repositories.errors import Unavailable
from repositories.meter import asked
from repositories.sinks.kafka import topology
from repositories.sinks.kafka.target import target_of
from repositories.sinks.port import CONTENT_TYPE, ROLE, Message, Refused, Sent, Sink
from repositories.translation import Translation

log = logging.getLogger(__name__)
# What a record and its batch have beside key, value and headers, at most.
_OVERHEAD = 256
# A fatal error comes out of `flush` as a SystemError when a callback has looked at it, a full queue as a BufferError.
_TRANSLATED = Translation(
    (KafkaException, SystemError, BufferError), lambda error: Unavailable(ROLE, f"Kafka: {error}")
)
_COMMON = {"allow.auto.create.topics": False, "log_level": 3, "client.id": "quartet"}
_PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    # As Java's clients do it.
    "partitioner": "murmur2_random",
    # Deadlines are ours: a message that the client gives up may be sent behind a later one.
    "message.timeout.ms": 0,
    "linger.ms": 5,
}


class KafkaSink(Sink):
    def __init__(self, url: str, *, timeout: timedelta) -> None:
        self._target = target_of(url)
        self._seconds = timeout.total_seconds()
        self._producer: Producer | None = None
        self._limit = 0
        self.name = self._target.name

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        with asked(ROLE, "migrate"), _TRANSLATED:
            return topology.migrate(self._admin(), self._target, self._seconds, dry_run=dry_run)

    def send(self, messages: Sequence[Message]) -> Sent:
        until = time.monotonic() + self._seconds
        kept = [False] * len(messages)
        failure: Unavailable | Refused | None = None
        try:
            with asked(ROLE, f"send {self.name}"):
                fitting = self._send(messages, kept, until)
        except Unavailable as error:
            failure = error
        else:
            if fitting < len(messages):
                large = f"takes {self._limit} bytes: {messages[fitting].id} has more"
                failure = Refused(f"the topic {self._target.topic} {large}")
        return Sent(kept.index(False) if False in kept else len(messages), failure)

    def close(self) -> None:
        self._drop()

    def _send(self, messages: Sequence[Message], kept: list[bool], until: float) -> int:
        """Returns how many of the first are small enough, all of which are kept then."""
        try:
            with _TRANSLATED:
                return self._produce(messages, kept, until)
        except BaseException:
            self._drop()
            raise

    def _produce(self, messages: Sequence[Message], kept: list[bool], until: float) -> int:
        producer = self._producer = self._producer or self._open()
        fitting = _fitting(messages, self._limit)
        errors: list[KafkaError] = []
        for number, message in enumerate(messages[:fitting]):
            headers: list[Any] = [("content-type", CONTENT_TYPE), ("ce_id", message.id), ("ce_type", message.type)]
            note = _Note(kept, number, errors)
            producer.produce(self._target.topic, message.body, message.key, headers=headers, on_delivery=note)
        producer.flush(max(0.0, until - time.monotonic()))
        if errors:
            raise KafkaException(errors[0])
        if not all(kept[:fitting]):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no acknowledgement in time"))  # noqa: SLF001
        return fitting

    def _open(self) -> Producer:
        self._limit = topology.limit(self._admin(), self._target, self._seconds)
        # The topic's limit is on batches, and one above it fails with all that is in it.
        batch = {"batch.size": max(1, min(1_000_000, self._limit - _OVERHEAD))}
        return Producer(self._target.client | _COMMON | _PRODUCER | batch, logger=log)

    def _admin(self) -> AdminClient:
        return AdminClient(self._target.client | _COMMON, logger=log)

    def _drop(self) -> None:
        """Nothing that is in it shall be sent any more, or another producer's messages would come before it."""
        producer, self._producer = self._producer, None
        if producer:
            producer.purge()
            producer.flush(0)


class _Note:
    """Called by the driver with what became of one message. It looks at nothing of the error."""

    def __init__(self, kept: list[bool], number: int, errors: list[KafkaError]) -> None:
        self._kept, self._number, self._errors = kept, number, errors

    def __call__(self, error: KafkaError | None, _message: object) -> None:
        if error is None:
            self._kept[self._number] = True
        else:
            self._errors.append(error)


def _fitting(messages: Sequence[Message], limit: int) -> int:
    """How many of the first are small enough. None is sent behind one that is not, which may be of its key."""
    for number, message in enumerate(messages):
        if len(message.body) + len(message.key) + len(message.id) + len(message.type) + _OVERHEAD > limit:
            return number
    return len(messages)
