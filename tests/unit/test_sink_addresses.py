"""The URLs of sinks: how they are parsed, and the one-line reason for each invalid one."""

from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli import main
from repositories.address import BadAddress
from repositories.sinks import open_sinks
from repositories.sinks.kafka import target as kafka
from repositories.sinks.rabbitmq import target as rabbitmq

SECRET = "s3cret"


def opened(urls: str) -> list[str]:
    return [sink.name for sink in open_sinks(urls, timeout=timedelta(seconds=1))]


@pytest.mark.parametrize(
    ("urls", "names"),
    [
        ("", []),
        ("amqp://h", ["rabbitmq"]),
        ("amqps://u:p@h1:5671,h2/v?exchange=e , kafka://h1,h2:9093/topic", ["rabbitmq", "kafka"]),
        ("kafka://h,kafka://h/other?name=audit", ["kafka", "audit"]),
    ],
)
def test_several_urls_are_separated_by_commas(urls: str, names: list[str]) -> None:
    assert opened(urls) == names


def test_a_trace_names_the_topic_or_exchange() -> None:
    sinks = open_sinks("amqp://u:p@h?exchange=e&queue=q,kafka://h/topic?name=audit", timeout=timedelta(seconds=1))
    assert [(one.destination.system, one.destination.name) for one in sinks] == [("rabbitmq", "e"), ("kafka", "topic")]


@pytest.mark.parametrize(
    ("urls", "reason"),
    [
        ("http://h", "the scheme must be one of amqp, amqps, kafka"),
        ("kafka", "a URL begins with scheme://"),
        ("amqp://", "a host is missing"),
        ("kafka://", "a host is missing"),
        ("amqp://h,amqp://h", "two sinks are called rabbitmq"),
        ("amqp://h?exchange=amq.topic", "do not begin with amq."),
        (f"amqp://h?queue={'x' * 256}", "1 to 255 bytes"),
        ("amqp://h?exchange=", "1 to 255 bytes"),
        ("amqp://h?ssl_ca_certs=/ca.pem", "unknown option"),
        ("amqp://h?heartbeat=1", "unknown option; it takes exchange, name, queue"),
        ("kafka://h/a b", "white space"),
        ("kafka://h/a/b", "the name of a topic"),
        ("kafka://h/t?partitions=0", "partitions is a number from 1"),
        ("kafka://h/t?partitions=many", "partitions is a number from 1"),
        ("kafka://h/t?sasl=GSSAPI", "sasl must be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ("kafka://h/t?sasl=PLAIN", "sasl needs a user"),
        ("kafka://h/t?ssl=maybe", "ssl must be true or false"),
        (f"kafka://u:{SECRET}@x@h/t", "percent-encode"),
        (f"amqp://u:{SECRET}@h:99999", "a port is a number"),
    ],
)
def test_a_wrong_url_is_one_line_without_its_secret(urls: str, reason: str) -> None:
    with pytest.raises(BadAddress, match=reason) as raised:
        opened(urls)
    assert raised.value.setting == "sinks"
    assert SECRET not in str(raised.value)


def test_a_command_names_the_variable() -> None:
    done = CliRunner().invoke(main, ["sinks", "list"], env={"QUARTET_SINKS": "amqp://h:port"})
    assert done.exit_code == 1
    assert done.output.startswith("Error: QUARTET_SINKS: a port is a number")
    assert done.output.count("\n") == 1


def test_a_url_of_rabbitmq_becomes_connections() -> None:
    found = rabbitmq.target_of("amqps://us%40er:p%2Fw@h1,[::1]:5673/v%2Fh?exchange=e&ssl_ca_certs=/ca.pem")
    common = {"virtual_host": "v/h", "userid": "us@er", "password": "p/w"}
    tls: dict[str, Any] = {"ca_certs": "/ca.pem"}
    assert found.connections == (
        common | {"host": "h1:5671", "ssl": tls | {"server_hostname": "h1"}},
        common | {"host": "[::1]:5673", "ssl": tls | {"server_hostname": "::1"}},
    )
    assert (found.exchange, found.queue) == ("e", "e")
    plain = rabbitmq.target_of("amqp://h")
    assert plain.connections == ({"virtual_host": "/", "host": "h:5672"},)
    assert (plain.exchange, plain.queue) == ("quartet.events", "quartet.events")


def test_a_url_of_kafka_becomes_a_configuration() -> None:
    found = kafka.target_of("kafka://u:p%2Fw@h1,h2:9093/t?ssl_ca_certs=/ca.pem&partitions=6&replication=3&sasl=PLAIN")
    assert found.client == {
        "bootstrap.servers": "h1:9092,h2:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "u",
        "sasl.password": "p/w",
        "ssl.ca.location": "/ca.pem",
    }
    assert (found.topic, found.partitions, found.replication) == ("t", 6, 3)
    plain = kafka.target_of("kafka://h")
    assert plain.client == {"bootstrap.servers": "h:9092", "security.protocol": "PLAINTEXT"}
    assert (plain.topic, plain.partitions, plain.replication) == ("quartet.events", 12, -1)
