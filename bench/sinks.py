"""Measures events per second through each sink next to a client library's confirmed publish loop, in alternation.

The sink does all its work: it reads the log, makes the messages, sends them and advances the cursor. The loop has the
same bytes ready and only publishes them and checks each answer, with the same keys, headers and settings, and as many
at once as its library allows.
"""

import gc
import http.client
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import amqp
from confluent_kafka import Producer
from standardwebhooks import Webhook

from app.container import Container
from app.envelopes import name_of, placed, prepared
from app.worker.sinks.running import envelopes_of
from app.worker.sinks.sending import SinkWorker, worker_of
from config import Settings
from config.logs import configure
from repositories.records.events import Event
from repositories.sinks import CONTENT_TYPE, Message, Sink
from tests.apps import embedded, running
from tests.engines import Engines
from tests.engines.brokers import Broker, Kafka, Rabbit, Webhooks
from tests.engines.webhook_receiver import SECRET

ROUNDS, SUBJECTS = 16, 500
# The number of events in a round. Kafka sends thousands in a hundredth of a second.
EVENTS = {"rabbitmq": 5000, "kafka": 20_000, "webhooks": 2000}
Loop = Callable[[Sequence[Message]], None]


def main() -> None:
    with measured("error") as (folder, found):
        for name, broker in found.items():
            place = broker.place()
            with running(Settings(**embedded(folder / name))) as system:
                compare(name, system.container, broker.prepared(place), LOOPS[name](broker, place))


@contextmanager
def measured(level: str) -> Iterator[tuple[Path, dict[str, Broker]]]:
    """Yield a folder and the brokers, by name. This process logs from `level` on."""
    configure(level, "console")
    # Like a relay (`app/startup.py`): otherwise each side would pay for collecting garbage that it has not made.
    gc.freeze()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engines = Engines()
        stack.callback(engines.close)
        found = brokers(engines, folder)
        for broker in found.values():
            stack.callback(broker.server.discard)
        yield folder, found


def brokers(engines: Engines, folder: Path) -> dict[str, Broker]:
    (folder / "receiver").mkdir()
    made: dict[str, Broker] = {"rabbitmq": Rabbit(engines.rabbitmq()), "kafka": Kafka(engines.kafka())}
    return made | {"webhooks": Webhooks(folder / "receiver")}


class Cost(NamedTuple):
    """The seconds of a round, and the CPU time in it: of this process, and of the working thread."""

    seconds: float
    processor: float
    own: float


def compare(name: str, container: Container, sink: Sink, loop: Loop) -> None:
    sent, looped = list[Cost](), list[Cost]()
    worker, count = worker_of(container, sink), EVENTS[name]
    for number in range(ROUNDS + 1):
        messages = logged(container, count)
        both = [(sent, partial(served, worker, count)), (looped, partial(loop, messages))]
        # Alternate the order, so that both are equally often affected by the after-effects of the other.
        for costs, work in both if number % 2 else both[::-1]:
            costs.append(cost(work))
        if number == 0:
            sent.clear()
            looped.clear()
    ratios = [theirs.seconds / ours.seconds for ours, theirs in zip(sent, looped, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    spread = f"quartiles {low:.2f} to {high:.2f}, all {min(ratios):.2f} to {max(ratios):.2f}"
    rates, each = ([count / middle(of, 0) for of in (sent, looped)], [middle(of, 1) / count for of in (sent, looped)])
    print(f"{name}: {rates[0]:.0f}/s beside {rates[1]:.0f}/s, {statistics.median(ratios):.2f} of it ({spread})")
    print(f"  processor time of an event: {1e6 * each[0]:.1f} us beside {1e6 * each[1]:.1f} us")
    worker.close()


def middle(costs: Sequence[Cost], which: int) -> float:
    return statistics.median(one[which] for one in costs)


def cost(work: Callable[[], object]) -> Cost:
    clocks = time.perf_counter, time.process_time, time.thread_time
    begun = [clock() for clock in clocks]
    work()
    return Cost(*(clock() - then for clock, then in zip(clocks, begun, strict=True)))


def logged(container: Container, count: int) -> list[Message]:
    """Log new events, and return the messages that are sent for them."""
    kinds = [str(uuid4()) for _ in range(SUBJECTS)]
    payload = b'{"type":"PostEdited","post_id":"%s","author_id":"%s","tags":["tea"]}'
    events = [
        Event(uuid4(), "PostEdited", one, datetime.now(UTC), payload % (one.encode(), one.encode()))
        for one in (kinds[number % SUBJECTS] for number in range(count))
    ]
    with container.stores.relational.transaction() as tx:
        tx.event_log.append(events, envelopes_of(events, container.settings.sinks_source))
    return [
        Message(str(one.id), one.aggregate, name_of(one.type), placed(prepared(one, "/quartet"), 1)) for one in events
    ]


def served(worker: SinkWorker, count: int) -> None:
    while count:
        count -= worker.step()


def rabbit_loop(broker: Broker, place: str) -> Loop:
    """A loop over a channel in confirm mode: publishes all messages, then waits for all acks."""
    connection = amqp.Connection(broker.server.url.removeprefix("amqp://").rpartition("@")[2])
    connection.connect()
    channel: Any = connection.channel()
    channel.confirm_select()
    answered = 0
    published = 0

    def acked(tag: int, multiple: bool) -> None:  # noqa: FBT001, ARG001 - as py-amqp calls it
        nonlocal answered
        answered = max(answered, tag)

    def failed(*what: object) -> None:
        raise AssertionError(what)

    channel.events["basic_ack"].add(acked)
    for event in ("basic_nack", "basic_return"):
        channel.events[event].add(failed)

    def loop(messages: Sequence[Message]) -> None:
        nonlocal published
        for one in messages:
            properties = {"delivery_mode": 2, "content_type": CONTENT_TYPE, "message_id": one.id, "type": one.type}
            body = amqp.Message(one.body, application_headers={"partitionkey": one.key}, app_id="quartet", **properties)
            channel.basic_publish(body, place, one.type, mandatory=True)
            published += 1
        while answered < published:
            connection.drain_events(timeout=30)

    return loop


def kafka_loop(broker: Broker, place: str) -> Loop:
    servers = broker.server.url.removeprefix("kafka://")
    settings = {"enable.idempotence": True, "acks": "all", "compression.type": "lz4", "linger.ms": 5}
    settings |= {"bootstrap.servers": servers, "partitioner": "murmur2_random", "log_level": 3}
    producer = Producer(settings)

    def loop(messages: Sequence[Message]) -> None:
        confirmed = 0
        failures: list[object] = []

        def answered(error: object, _message: object) -> None:
            nonlocal confirmed
            if error:
                failures.append(error)
            else:
                confirmed += 1

        for one in messages:
            headers: Any = [("content-type", CONTENT_TYPE), ("ce_id", one.id), ("ce_type", one.type)]
            producer.produce(place, one.body, one.key, headers=headers, on_delivery=answered)
        assert producer.flush(30) == 0
        assert (confirmed, failures) == (len(messages), [])

    return loop


def webhook_loop(broker: Broker, place: str) -> Loop:
    """A loop over one connection of the standard library, with signatures by the reference library."""
    connection = http.client.HTTPConnection(broker.server.url.removeprefix("http://"))
    signer = Webhook(SECRET)

    def loop(messages: Sequence[Message]) -> None:
        for one in messages:
            now = datetime.now(UTC)
            headers = {"Content-Type": CONTENT_TYPE, "webhook-id": one.id}
            headers["webhook-timestamp"] = str(int(now.timestamp()))
            headers["webhook-signature"] = signer.sign(one.id, now, one.body.decode())
            connection.request("POST", f"/{place}", one.body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 204

    return loop


LOOPS: dict[str, Callable[[Broker, str], Loop]] = {
    "rabbitmq": rabbit_loop,
    "kafka": kafka_loop,
    "webhooks": webhook_loop,
}


if __name__ == "__main__":
    main()
