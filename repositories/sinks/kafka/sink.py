"""Publishes to Kafka with an idempotent producer: acknowledged by all replicas in sync, in the order of each key.

A producer that failed is dropped with all that is in it, and another one sends again: what goes on after a failure, or
sends only what failed, changes the order.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
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
}


class _Batch:
    """Messages that were handed to a producer, and what became of them."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self.errors: list[KafkaError] = []
        self.producer: Producer | None = None
        # The first of them that is too large; none from there on was handed over.
        self.too_large: Message | None = None
        self.handed = 0
        self.failure: Unavailable | None = None
        self._kept: list[Any] = []

    def answered(self, error: KafkaError | None, message: Any) -> None:
        """Called by the driver with what became of one message, in any order. It looks at nothing of the error."""
        if error is None:
            self._kept.append(message)
        else:
            self.errors.append(error)

    @property
    def is_open(self) -> bool:
        return len(self._kept) < self.handed and not self.errors

    @property
    def count(self) -> int:
        """How many of the first are kept. Which ones, the driver tells by key and value alone: equal ones are kept in
        the order in which they were handed over, as all of a key are.
        """
        if len(self._kept) == len(self.messages):
            return len(self.messages)
        kept = Counter((one.key(), one.value()) for one in self._kept)
        for count, message in enumerate(self.messages):
            which = message.key.encode(), message.body
            if not kept[which]:
                return count
            kept[which] -= 1
        return len(self.messages)


class KafkaSink(Sink):
    # So many that their events are read and put into envelopes while the first of them is on its way.
    ahead = 4

    def __init__(self, url: str, *, timeout: timedelta) -> None:
        self._target = target_of(url)
        self._seconds = timeout.total_seconds()
        self._producer: Producer | None = None
        self._limit = 0
        # The batch that was begun last, and one that cannot be kept as a whole, behind which nothing is handed over.
        self._last: _Batch | None = None
        self._blocked: _Batch | None = None
        self.name = self._target.name

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        with asked(ROLE, "migrate"), _TRANSLATED:
            return topology.migrate(self._admin(), self._target, self._seconds, dry_run=dry_run)

    def send(self, messages: Sequence[Message]) -> Sent:
        return self.begin(messages)()

    def begin(self, messages: Sequence[Message]) -> Callable[[], Sent]:
        batch = self._last = _Batch(messages)
        try:
            with self._dropping():
                if not self._blocked:
                    self._hand_over(messages, batch)
        except Unavailable as error:
            self._blocked, batch.failure = batch, error
        return partial(self._answer, batch)

    def close(self) -> None:
        self._drop()

    def _answer(self, batch: _Batch) -> Sent:
        if self._blocked is batch:
            self._blocked = None
        failure: Unavailable | Refused | None = None
        try:
            with asked(ROLE, f"send {self.name}"):
                if batch.failure:
                    raise batch.failure
                with self._dropping():
                    self._wait(batch)
        except Unavailable as error:
            failure = error
        else:
            if batch.too_large:
                large = f"takes {self._limit} bytes: {batch.too_large.id} has more"
                failure = Refused(f"the topic {self._target.topic} {large}")
        return Sent(batch.count, failure)

    def _hand_over(self, messages: Sequence[Message], batch: _Batch) -> None:
        producer = batch.producer = self._producer = self._producer or self._open()
        produce, topic, answered, most = producer.produce, self._target.topic, batch.answered, self._limit - _OVERHEAD
        for message in messages:
            body, key, id_, type_ = message.body, message.key, message.id, message.type
            if len(body) + len(key) + len(id_) + len(type_) > most:
                # None is sent behind it, which may be of its key.
                self._blocked, batch.too_large = batch, message
                return
            produce(topic, body, key, on_delivery=answered, headers=[_CONTENT, ("ce_id", id_), ("ce_type", type_)])
            batch.handed += 1

    def _wait(self, batch: _Batch) -> None:
        until = time.monotonic() + self._seconds
        while batch.is_open and (producer := self._producer) is batch.producer:
            left = until - time.monotonic()
            if producer is None or left <= 0:
                break
            if batch is self._last:
                # Without waiting for others to fill a request.
                producer.flush(left)
            else:
                producer.poll(left)
        if batch.errors:
            raise KafkaException(batch.errors[0])
        if batch.is_open:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no acknowledgement in time"))  # noqa: SLF001

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
        self._last = self._blocked = None
        if producer:
            producer.purge()
            producer.flush(0)
