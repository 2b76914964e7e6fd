"""Events a second through each sink beside the confirmed publish loop of a client library, in alternated rounds.

Then the relay's other work while its broker is away, beside the same work while it is there.

A sink's part is all of it: the log is read, events are put into envelopes, sent, and the cursor moves. The loop has the
same bytes ready, and does nothing but publish them, with the same keys, headers and settings, as many at once as its
library lets it, and look at each answer.
"""

import gc
import http.client
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import amqp
from confluent_kafka import Producer
from standardwebhooks import Webhook

from app.container import Container
from app.published import name_of, placed, prepared
from app.worker.relay import relay_of
from app.worker.sinks.running import envelopes_of
from app.worker.sinks.sending import SinkWorker, worker_of
from config import Settings
from config.logs import configure
from repositories.records import Event
from repositories.sinks import CONTENT_TYPE, Message, Sink
from tests.apps import Person, System, embedded, running
from tests.engines import Engines
from tests.engines.brokers import Broker, Kafka, Rabbit, Webhooks
from tests.engines.webhook_receiver import SECRET

ROUNDS, SUBJECTS = 15, 500
# In a round. Kafka sends thousands in a hundredth of a second.
EVENTS = {"rabbitmq": 5000, "kafka": 20_000, "webhooks": 2000}
WORK_ROUNDS, POSTS = 30, 40
Loop = Callable[[Sequence[Message]], None]


def main() -> None:
    configure("error", "console")
    # As a relay does it (`app/opening.py`): or each of the two would pay for rubbish that it has not made.
    gc.freeze()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engines = Engines()
        stack.callback(engines.close)
        (folder / "receiver").mkdir()
        kinds: dict[str, Broker] = {
            "rabbitmq": Rabbit(engines.rabbitmq()),
            "kafka": Kafka(engines.kafka()),
            "webhooks": Webhooks(folder / "receiver"),
        }
        for name, broker in kinds.items():
            stack.callback(broker.server.discard)
            place = broker.place()
            with running(Settings(**embedded(folder / name))) as system:
                compare(name, system.container, broker.prepared(place), LOOPS[name](broker, place))
        for name in ("rabbitmq", "kafka"):
            other_work(name, kinds[name], folder)


class Cost(NamedTuple):
    """Seconds of a round, and processor time of this process in it, by all of its threads and by the one that works."""

    seconds: float
    processor: float
    own: float


def compare(name: str, container: Container, sink: Sink, loop: Loop) -> None:
    sent, looped = [], []
    worker, count = worker_of(container, sink), EVENTS[name]
    for number in range(ROUNDS + 1):
        messages = logged(container, count)
        sent.append(cost(partial(served, worker, count)))
        looped.append(cost(partial(loop, messages)))
        if number == 0:
            sent.clear()
            looped.clear()
    ratios = [theirs.seconds / ours.seconds for ours, theirs in zip(sent, looped, strict=True)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
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
    """New events in the log, and the same as they are sent."""
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
    """A channel in confirm mode: everything is published, then all acks are awaited."""
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
    """One connection of the standard library, and the signature by the library of those who specified it."""
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


def other_work(name: str, broker: Broker, folder: Path) -> None:
    """Events that the relay handles, its sink in a thread beside it: with the broker there, killed, and frozen.

    Each has a system of its own, in alternated rounds, so that no round sends what another has left.
    """
    costs: dict[str, list[Cost]] = {"there": [], "killed": [], "frozen": []}
    place = broker.place()
    broker.prepared(place).close()
    nobody = f"{broker.url(place).partition('://')[0]}://127.0.0.1:9/nowhere"
    with ExitStack() as stack:
        opened = {
            state: stack.enter_context(
                running(
                    Settings(
                        **embedded(folder / f"{name}-{state}"), sinks=nobody if state == "killed" else broker.url(place)
                    )
                )
            )
            for state in costs
        }
        authors = {state: system.person() for state, system in opened.items()}
        for number in range(WORK_ROUNDS + 1):
            for state, system in opened.items():
                if state == "frozen":
                    broker.server.pause()
                found = handled(system, authors[state])
                if state == "frozen":
                    broker.server.resume()
                if number:
                    costs[state].append(found)
    for state in ("killed", "frozen"):
        pairs = list(zip(costs[state], costs["there"], strict=True))
        for which, about in enumerate(Cost._fields):
            ratios = [away[which] / there[which] for away, there in pairs]
            low, middle_, high = statistics.quantiles(ratios, n=4)
            whole = sum(away[which] for away, _ in pairs) / sum(there[which] for _, there in pairs)
            print(
                f"relay, {name} {state}: {about} of other work {middle_:.3f} ({low:.3f} to {high:.3f}), all {whole:.3f}"
            )


def handled(system: System, author: Person) -> Cost:
    """While the sink's thread sends what is logged, or tries to."""
    for number in range(POSTS):
        author.publish(f"{number}")
    stop, thread = beside(system.container)
    found = cost(relay_of(system.container).drain)
    stop()
    thread.join()
    return found


def beside(container: Container) -> tuple[Callable[[], None], Any]:
    over = threading.Event()
    (sink,) = container.stores.sinks
    thread = threading.Thread(target=worker_of(container, sink).run, args=(over,))
    thread.start()
    return over.set, thread


if __name__ == "__main__":
    main()
