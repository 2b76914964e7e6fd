"""The contract of sinks on RabbitMQ, Kafka and a receiver of webhooks, also when they are killed, frozen and full."""

import os
import threading
from collections.abc import Iterator

import pytest

from repositories import meter
from repositories.errors import Unavailable
from repositories.sinks import CONTENT_TYPE, Refused, Sent
from tests.engines import Engines
from tests.engines.brokers import Broker, Kafka, Rabbit, Received, Webhooks, in_order, message, send_all
from tests.engines.kernel import wait_until

pytestmark = pytest.mark.long
KINDS = {"rabbitmq": Rabbit, "kafka": Kafka}


@pytest.fixture(scope="module", params=[*KINDS, "webhooks"])
def broker(
    request: pytest.FixtureRequest, own_engines: Engines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    kind = KINDS.get(request.param)
    made: Broker = (
        kind(getattr(own_engines, request.param)()) if kind else Webhooks(tmp_path_factory.mktemp("receiver"))
    )
    yield made
    made.server.discard()


@pytest.fixture(scope="module")
def rabbit(broker: Broker) -> Rabbit:
    return broker if isinstance(broker, Rabbit) else pytest.skip("RabbitMQ only")


@pytest.fixture(scope="module")
def kafka(broker: Broker) -> Kafka:
    return broker if isinstance(broker, Kafka) else pytest.skip("Kafka only")


def test_messages_are_received_unchanged(broker: Broker) -> None:
    place = broker.place()
    sink, body = broker.prepared(place), "{\u00e9\u4e2d}\x00".encode()
    assert sink.send([]).count == 0
    sent = sink.send([message("a", 1, body), message("b", 1), message("a", 2)])
    assert (sent.count, sent.failure) == (3, None)
    received = {one.id: one for one in broker.received(place, 3)}
    type_ = "" if isinstance(broker, Webhooks) else "quartet.test"
    assert received["a-1"] == Received("a-1", "a", type_, CONTENT_TYPE, body)
    assert set(received) == {"a-1", "b-1", "a-2"}
    sink.close()
    assert sink.send([message("a", 3)]).count == 1
    assert [one.id for one in broker.received(place, 1)] == ["a-3"]
    sink.close()


def test_messages_of_a_key_stay_in_order(broker: Broker) -> None:
    place = broker.place()
    sink = broker.prepared(place)
    keys = ["hot", *(f"k{n}" for n in range(20))]
    messages = [message(key, n) for n in range(broker.burst // 8) for key in (*keys, "hot")[: 21 if n % 2 else 2]]
    messages = [message(one.key, n) for n, one in enumerate(messages)]
    assert sink.send(messages).count == len(messages)
    wanted = {key: [n for n, one in enumerate(messages) if one.key == key] for key in keys}
    received = broker.received(place, len(messages))
    assert in_order(received) == wanted
    assert len(received) == len(messages)
    sink.close()


def test_a_sink_that_asks_for_more_messages_sends_and_counts_them(broker: Broker) -> None:
    place, following = broker.place(), [[message("a", 2 * n), message("a", 2 * n + 1)] for n in range(1, 5)]
    sink = broker.prepared(place)
    sent = sink.send([message("a", 0), message("a", 1)], lambda: following.pop(0) if following else [])
    assert sent == Sent(10 if isinstance(broker, Kafka) else 2)
    assert in_order(broker.received(place, sent.count)) == {"a": list(range(sent.count))}
    sink.close()


def test_the_queue_or_topic_is_created_once(broker: Broker) -> None:
    if isinstance(broker, Webhooks):
        assert broker.sink(broker.place()).migrate() == []
        return
    place = broker.place()
    sink = broker.sink(place)
    failure = sink.send([message("a", 1)]).failure
    assert isinstance(failure, Unavailable)
    assert f"{place} is missing: quartet migrate creates it" in str(failure)
    (step,) = sink.migrate(dry_run=True)
    assert place in step
    assert sink.migrate() == [step]
    assert sink.migrate() == []
    assert sink.migrate(dry_run=True) == []
    assert wait_until(lambda: sink.send([message("a", 1)]).count == 1, 30)
    sink.close()


@pytest.mark.parametrize(
    "broker",
    [*(pytest.param(kind, marks=pytest.mark.proof) for kind in KINDS), "webhooks"],
    indirect=True,
    scope="module",
)
def test_a_killed_broker_loses_no_message(broker: Broker) -> None:
    place, burst = broker.place(), broker.burst
    sink, messages = broker.prepared(place), [message(f"k{n % 40}", n) for n in range(8 * burst)]
    killer = threading.Thread(target=broker.server.kill)
    assert sink.send(messages[:burst]).count == burst
    killer.start()
    while (sent := sink.send(messages[burst : 2 * burst])).count == burst:
        continue
    killer.join()
    assert isinstance(sent.failure, Unavailable)
    assert sent.count < burst
    again = sink.send(messages[burst + sent.count : 2 * burst])
    assert (again.count, type(again.failure)) == (0, Unavailable)
    broker.server.start()
    send_all(sink, messages[burst + sent.count :])
    order = in_order(broker.received(place, len(messages)))
    assert order == {f"k{n}": list(range(n, 8 * burst, 40)) for n in range(40)}
    sink.close()


def test_a_frozen_broker_fails_within_the_timeout(broker: Broker) -> None:
    place = broker.place()
    broker.prepared(place).close()
    sink = broker.sink(place, seconds=2)
    assert sink.send([message("a", 0)]).count == 1
    broker.server.pause()
    for _ in range(2):
        sent = sink.send([message("a", n) for n in range(1, 11)])
        assert sent.count == 0
        assert isinstance(sent.failure, Unavailable)
    broker.server.resume()
    send_all(sink, [message("a", n) for n in range(1, 11)])
    assert in_order(broker.received(place, 11)) == {"a": list(range(11))}
    sink.close()


def test_a_full_rabbitmq_queue_accepts_none_after_a_refused_message(rabbit: Rabbit) -> None:
    place = rabbit.place()
    full = {"x-queue-type": "quorum", "x-max-length": 3, "x-overflow": "reject-publish"}
    rabbit.change(lambda channel: channel.queue_declare(place, durable=True, arguments=full))
    rabbit.change(lambda channel: channel.exchange_declare(place, "topic", durable=True))
    rabbit.change(lambda channel: channel.queue_bind(place, place, "#"))
    sink, messages = rabbit.sink(place), [message("a", n) for n in range(30)]
    sent = sink.send(messages)
    assert 3 <= sent.count < 30
    assert "full" in str(sent.failure)
    received = rabbit.received(place, sent.count)
    at = sent.count
    while at < 30:
        at += sink.send(messages[at:]).count
        received += rabbit.take(place)
    assert in_order(received) == {"a": list(range(30))}
    sink.close()


def test_rabbitmq_without_a_queue_is_a_failure(rabbit: Rabbit) -> None:
    place = rabbit.place()
    sink = rabbit.prepared(place)
    rabbit.change(lambda channel: channel.queue_unbind(place, place, "#"))
    sent = sink.send([message("a", 1), message("a", 2)])
    assert sent.count == 0
    assert "no queue takes quartet.test" in str(sent.failure)
    rabbit.change(lambda channel: channel.queue_bind(place, place, "quartet.#"))
    assert sink.send([message("a", 1), message("a", 2)]).count == 2
    assert in_order(rabbit.received(place, 2)) == {"a": [1, 2]}
    sink.close()


def test_a_rabbitmq_queue_of_another_kind_is_not_changed(rabbit: Rabbit) -> None:
    place = rabbit.place()
    rabbit.change(lambda channel: channel.queue_declare(place, durable=False))
    sink = rabbit.sink(place)
    with pytest.raises(Unavailable, match="of another kind"):
        sink.migrate()


def test_kafka_refuses_a_too_large_message_and_sends_none_after_it(kafka: Kafka) -> None:
    place = kafka.place()
    kafka.make(place, **{"max.message.bytes": "2000"})
    sink = kafka.prepared(place)
    many = [message("a", n, b"x" * 300) for n in range(40)]
    assert sink.send(many).count == 40
    large = [message("a", 40), message("a", 41, b"x" * 3000), message("a", 42)]
    calls: list[tuple[str, bool]] = []
    meter.trace(lambda store, _operation, _trips, _seconds, *, ok: calls.append((store, ok)))
    assert sink.send(large) == Sent(1), "only the message before the large one is sent"
    sent = sink.send(large[1:])
    meter.trace(None)
    assert calls == [("sinks", True)] * 2, "a refused message is no failed call"
    assert (sent.count, type(sent.failure)) == (0, Refused)
    assert "a-41" in str(sent.failure)
    assert sink.send([large[2], message("a", 43)]).count == 2
    assert in_order(kafka.received(place, 43)) == {"a": [*range(41), 42, 43]}
    sink.close()


def test_kafka_asks_for_no_more_after_a_too_large_message(kafka: Kafka) -> None:
    place = kafka.place()
    kafka.make(place, **{"max.message.bytes": "20000"})
    sink, more = kafka.sink(place), [[message("a", 1), message("a", 2, bytes(30_000))], [message("a", 3)]]
    assert sink.send([message("a", 0)], lambda: more.pop(0)) == Sent(2)
    assert in_order(kafka.received(place, 2)) == {"a": [0, 1]}
    assert len(more) == 1
    sink.close()


def test_a_changed_size_limit_of_kafka_is_noticed(kafka: Kafka) -> None:
    """The broker's refusal closes the producer, which knows the former limit. The next producer reads the new one."""
    place = kafka.place()
    kafka.make(place)
    sink = kafka.prepared(place)
    assert sink.send([message("a", 0)]).count == 1
    kafka.change(place, **{"max.message.bytes": "2000"})
    # Random bytes, which do not compress.
    large = [message("a", 1), message("a", 2, os.urandom(3000)), message("a", 3)]
    first = sink.send(large)
    assert (first.count, type(first.failure)) == (0, Unavailable)
    assert sink.send(large) == Sent(1)
    assert isinstance(sink.send(large[1:]).failure, Refused)
    kafka.change(place, **{"max.message.bytes": "9000"})
    assert sink.send(large[1:]) == Sent(2), "the raised limit is read before anything is refused"
    assert in_order(kafka.received(place, 4)) == {"a": [0, 1, 2, 3]}
    sink.close()


def test_a_recreated_kafka_topic_is_used_again(kafka: Kafka) -> None:
    place = kafka.place()
    sink = kafka.prepared(place)
    assert sink.send([message("a", 0)]).count == 1
    sink.close()
    kafka.remove(place)
    assert "is missing" in str(sink.send([message("a", 1)]).failure)
    kafka.make(place)
    send_all(sink, [message("a", 1), message("a", 2)])
    assert in_order(kafka.received(place, 2)) == {"a": [1, 2]}
    sink.close()
