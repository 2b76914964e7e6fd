"""Publishes to Kafka with an idempotent producer: acknowledged by all replicas in sync, in the order of each key.

A producer that failed is dropped with all that is in it, and another one sends again: what goes on after a failure, or
sends only what failed, changes the order.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from repositories.errors import Unavailable
from repositories.meter import asked
from repositories.sinks.kafka import topology
from repositories.sinks.kafka.target import target_of
from repositories.sinks.port import CONTENT_TYPE, ROLE, Destination, Message, Refused, Sent, Sink
from repositories.translation import Translation

log = logging.getLogger(__name__)
# What a record and its batch have beside key and value, at most: the headers are an id of 36 characters and a type.
_OVERHEAD = 400
# Seconds. Only a failure ends the client's wait; otherwise it looks every 10 ms, or when its time is over.
_TICK = 0.001
# A fatal error comes out of `flush` as a SystemError when a callback has looked at it, a full queue as a BufferError.
_DRIVER = (KafkaException, SystemError, BufferError)
_TRANSLATED = Translation(_DRIVER, lambda error: Unavailable(ROLE, f"Kafka: {error}"))
_COMMON = {"allow.auto.create.topics": False, "log_level": 3, "client.id": "quartet"}
_Headers = list[tuple[str, str | bytes | None]]
_CONTENT = ("content-type", CONTENT_TYPE)
_PRODUCER = {
    "enable.idempotence": True,
    # A batch that the broker refuses for good ends the producer, or what is behind it would come before it.
    "enable.gapless.guarantee": True,
    "acks": "all",
    "compression.type": "lz4",
    # As Java's clients do it.
    "partitioner": "murmur2_random",
    # Deadlines are ours: a message that the client gives up may be sent behind a later one.
    "message.timeout.ms": 0,
    "linger.ms": 5,
    # What was kept is counted, which costs no call of Python.
    "delivery.report.only.error": True,
}


class KafkaSink(Sink):
    # So few are handed over while the processor has them near, and one wait for so many costs each of them little.
    batch, window = 1000, 10_000

    def __init__(self, url: str, *, timeout: timedelta) -> None:
        self._target = target_of(url)
        self._seconds = timeout.total_seconds()
        self._producer: Producer | None = None
        self._limit = 0
        self.name = self._target.name
        self.destination = Destination("kafka", self._target.topic)

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        with asked(ROLE, "migrate"), _TRANSLATED:
            return topology.migrate(self._admin(), self._target, self._seconds, dry_run=dry_run)

    def send(self, messages: Sequence[Message], more: Callable[[], Sequence[Message]] = tuple) -> Sent:
        """All of them are kept when none is left and none has failed. Otherwise it is not known which are.

        One that is too large ends the batch before it, and is refused when it is the first of one.
        """
        errors, handed, given = list[KafkaError](), 0, messages
        try:
            with asked(ROLE, f"send {self.name}"), self._dropping():
                while given:
                    count = self._hand_over(given, errors)
                    handed += count
                    given = more() if count == len(given) else ()
                # The time that something else took is none in which nothing was answered.
                self._wait(errors)
        except Unavailable as error:
            return Sent(0, error)
        if handed or not messages:
            return Sent(handed)
        large = f"takes {self._limit} bytes: {messages[0].id} has more"
        return Sent(0, Refused(f"the topic {self._target.topic} {large}"))

    def close(self) -> None:
        self._drop()

    def _hand_over(self, messages: Sequence[Message], errors: list[KafkaError]) -> int:
        """How many: up to the first that is too large, since what is behind it may be of its key."""

        def failed(error: KafkaError | None, _message: object) -> None:
            """Called by the driver. It looks at nothing of the error."""
            if error is not None:
                errors.append(error)

        if self._producer and messages and _size(messages[0]) > self._limit - _OVERHEAD:
            # The topic's limit may have been raised since it was read.
            self._drop()
        producer = self._producer = self._producer or self._open()
        produce, topic, most = producer.produce, self._target.topic, self._limit - _OVERHEAD
        for count, message in enumerate(messages):
            body, key = message.body, message.key
            if len(body) + len(key) > most:
                return count
            headers: _Headers = [_CONTENT, ("ce_id", message.id), ("ce_type", message.type)]
            # By their places (partition, callback, on_delivery, timestamp, headers): names cost a third as much again.
            produce(topic, body, key, -1, None, failed, 0, headers)
        return len(messages)

    def _wait(self, errors: list[KafkaError]) -> None:
        """Until each has its answer: without waiting for others to fill a request."""
        until = time.monotonic() + self._seconds
        while self._producer and self._producer.flush(_TICK) and not errors:
            if time.monotonic() >= until:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no acknowledgement in time"))  # noqa: SLF001
        if errors:
            raise KafkaException(errors[0])

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        """After any failure the producer is dropped."""
        try:
            with _TRANSLATED:
                yield
        except BaseException:
            self._drop()
            raise

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
            # One with a fatal error says so once more.
            with suppress(*_DRIVER):
                producer.purge()
                producer.flush(0)


def _size(message: Message) -> int:
    return len(message.body) + len(message.key)
