"""Publishes to Kafka with an idempotent producer: acknowledged by all in-sync replicas, in order per key.

After a failure the producer and everything in its queue are dropped, and a new producer sends again. Continuing after a
failure, or repeating only the failed messages, would change the order.
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
# Maximum bytes of a record and its batch beyond key and value. The headers are an id of 36 characters and a type.
_OVERHEAD = 400
# Seconds. A wait in `flush` ends early only on a failure; otherwise the client polls every 10 ms or at the timeout.
_TICK = 0.001
# `flush` raises a fatal error as a SystemError if a callback has inspected it; `produce` raises BufferError when the
# queue is full.
_DRIVER = (KafkaException, SystemError, BufferError)
_TRANSLATED = Translation(_DRIVER, lambda error: Unavailable(ROLE, f"Kafka: {error}"))
_COMMON = {"allow.auto.create.topics": False, "log_level": 3, "client.id": "quartet"}
_Headers = list[tuple[str, str | bytes | None]]
_CONTENT = ("content-type", CONTENT_TYPE)
_PRODUCER = {
    "enable.idempotence": True,
    # A batch that the broker rejects permanently is fatal for the producer; otherwise later batches would overtake it.
    "enable.gapless.guarantee": True,
    "acks": "all",
    "compression.type": "lz4",
    # The partitioner of the Java clients.
    "partitioner": "murmur2_random",
    # No timeout in the client, since a message that it times out may be sent again after a later one. `_wait` has one.
    "message.timeout.ms": 0,
    "linger.ms": 5,
    # Report errors only: successes need no Python callback, since `flush` returns what is outstanding.
    "delivery.report.only.error": True,
}


class KafkaSink(Sink):
    # `batch` messages at once still fit into the processor's cache; `window` spreads the cost of one wait over many.
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
        """If all messages leave the queue without an error, all are stored. After an error it is unknown which are, so
        `count` is 0.

        A message that is too large ends the batch before it; as the first of a batch it is `Refused`.
        """
        errors, handed, given = list[KafkaError](), 0, messages
        try:
            with asked(ROLE, f"send {self.name}"), self._dropping():
                while given:
                    count = self._hand_over(given, errors)
                    handed += count
                    given = more() if count == len(given) else ()
                # The timeout starts here, so the time spent in `more` does not count.
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
        """Queue messages up to the first that is too large, since later ones may have its key. Returns how many."""

        def failed(error: KafkaError | None, _message: object) -> None:
            """Called by the driver. Must not inspect the error (see `_DRIVER`)."""
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
            # Positional (partition, callback, on_delivery, timestamp, headers): keyword arguments cost a third more.
            produce(topic, body, key, -1, None, failed, 0, headers)
        return len(messages)

    def _wait(self, errors: list[KafkaError]) -> None:
        """Wait until every queued message is answered; `flush` sends without waiting for batches to fill."""
        until = time.monotonic() + self._seconds
        while self._producer and self._producer.flush(_TICK) and not errors:
            if time.monotonic() >= until:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no acknowledgement in time"))  # noqa: SLF001
        if errors:
            raise KafkaException(errors[0])

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        """Translate the driver's errors; drop the producer after any failure."""
        try:
            with _TRANSLATED:
                yield
        except BaseException:
            self._drop()
            raise

    def _open(self) -> Producer:
        self._limit = topology.limit(self._admin(), self._target, self._seconds)
        # The topic's limit is for batches; a larger one fails with all its messages.
        batch = {"batch.size": max(1, min(1_000_000, self._limit - _OVERHEAD))}
        return Producer(self._target.client | _COMMON | _PRODUCER | batch, logger=log)

    def _admin(self) -> AdminClient:
        return AdminClient(self._target.client | _COMMON, logger=log)

    def _drop(self) -> None:
        """Discard the producer with its queue: messages sent late would arrive after those of the next producer."""
        producer, self._producer = self._producer, None
        if producer:
            # After a fatal error these calls raise it again.
            with suppress(*_DRIVER):
                producer.purge()
                producer.flush(0)


def _size(message: Message) -> int:
    return len(message.body) + len(message.key)
