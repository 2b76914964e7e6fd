"""Both brokers, for one test alone."""

from collections.abc import Iterator

import pytest

from tests.engines import Engines
from tests.engines.brokers import Broker, Kafka, Rabbit


@pytest.fixture
def brokers(own_engines: Engines) -> Iterator[dict[str, Broker]]:
    made: dict[str, Broker] = {"rabbitmq": Rabbit(own_engines.rabbitmq()), "kafka": Kafka(own_engines.kafka())}
    yield made
    for broker in made.values():
        broker.server.discard()
