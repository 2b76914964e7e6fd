"""Brokers over TLS, and Kafka with users and passwords, on real servers. `make proofs` runs it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from repositories.errors import Unavailable
from repositories.sinks import Sink, open_sinks
from tests.engines import kafka, rabbitmq
from tests.engines.brokers import Broker, Kafka, Rabbit, in_order, message
from tests.engines.home import Home
from tests.engines.kernel import free_port, wait_until

USER = "quartet:secret@"
# The same address under a name that is not in the certificate.
UNNAMED = "[::ffff:127.0.0.1]"
SCRAM = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}


class SecuredBrokers:
    """Two brokers. The ports `rabbit_port`, `tls` and `signed_in` use TLS."""

    def __init__(self, home: Home) -> None:
        self.rabbit_port, self.tls, self.signed_in = free_port(), free_port(), free_port()
        self.rabbit = Rabbit(rabbitmq.launch_secured(home, self.rabbit_port))
        self.kafka = Kafka(kafka.launch_secured(home, self.tls, self.signed_in))
        self.ca = {broker: broker.server.folder / "ca.pem" for broker in (self.rabbit, self.kafka)}

    def users(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.kafka.server.url.removeprefix("kafka://")})
        for mechanism in SCRAM.values():
            info = ScramCredentialInfo(mechanism, 4096)
            made = admin.alter_user_scram_credentials([UserScramCredentialUpsertion("quartet", info, b"secret")])
            made["quartet"].result(30)

    def rabbit_url(self, place: str, *, user: str = "guest:guest@", host: str = "localhost", ca: bool = True) -> str:
        trusted = f"&ssl_ca_certs={self.ca[self.rabbit]}" if ca else ""
        return f"amqps://{user}{host}:{self.rabbit_port}/%2F?exchange={place}{trusted}"

    def kafka_url(
        self, place: str, *, user: str = USER, host: str = "127.0.0.1", ca: bool = True, more: str = ""
    ) -> str:
        trusted = f"&ssl_ca_certs={self.ca[self.kafka]}" if ca else "&ssl=true"
        return f"kafka://{user}{host}:{self.signed_in if user else self.tls}/{place}?partitions=1{trusted}{more}"


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredBrokers]:
    home = Home()
    made = SecuredBrokers(home)
    made.kafka.prepared(made.kafka.place()).close()
    made.users()
    yield made
    for broker in (made.rabbit, made.kafka):
        broker.server.discard()
    home.close()


def opened(url: str) -> Sink:
    (sink,) = open_sinks(url, timeout=timedelta(seconds=5))
    return sink


def arrives(broker: Broker, place: str, url: str) -> None:
    sink = opened(url)
    sink.migrate()
    assert wait_until(lambda: sink.send([message("a", 0)]).count == 1, 30)
    assert sink.send([message("a", n) for n in range(1, 5)]).count == 4
    assert in_order(broker.received(place, 5)) == {"a": list(range(5))}
    sink.close()


def test_rabbitmq_over_tls(secured: SecuredBrokers) -> None:
    place = secured.rabbit.place()
    arrives(secured.rabbit, place, secured.rabbit_url(place))


@pytest.mark.parametrize(
    ("user", "more"), [("", ""), (USER, ""), *((USER, f"&sasl={one}") for one in (*SCRAM, "PLAIN"))]
)
def test_kafka_over_tls(secured: SecuredBrokers, user: str, more: str) -> None:
    place = secured.kafka.place()
    arrives(secured.kafka, place, secured.kafka_url(place, user=user, more=more))


def refused(url: str) -> None:
    sink = opened(url)
    with pytest.raises(Unavailable):
        sink.migrate()
    assert isinstance(sink.send([message("a", 1)]).failure, Unavailable)
    sink.close()


def test_rabbitmq_with_a_wrong_ca_host_or_password_is_refused(secured: SecuredBrokers) -> None:
    place = secured.rabbit.place()
    refused(secured.rabbit_url(place, ca=False))
    refused(secured.rabbit_url(place, host=UNNAMED))
    refused(secured.rabbit_url(place, user="guest:wrong@"))


def test_kafka_with_a_wrong_ca_host_or_password_is_refused(secured: SecuredBrokers) -> None:
    place = secured.kafka.place()
    refused(secured.kafka_url(place, ca=False))
    refused(secured.kafka_url(place, host=UNNAMED))
    for mechanism in (*SCRAM, "PLAIN"):
        refused(secured.kafka_url(place, user="quartet:wrong@", more=f"&sasl={mechanism}"))
    refused(f"kafka://127.0.0.1:{secured.tls}/{place}")
