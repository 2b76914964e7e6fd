"""RabbitMQ and Kafka, for tests that kill them."""

from collections.abc import Iterator

import pytest

from tests.engines import Engines
from tests.engines.brokers import Broker, Kafka, Rabbit


@pytest.fixture
def brokers(own_engines: Engines) -> Iterator[dict[str, Broker]]:
    yield {"rabbitmq": Rabbit(own_engines.rabbitmq()), "kafka": Kafka(own_engines.kafka())}
    own_engines.heal()
