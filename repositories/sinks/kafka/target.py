"""Parses `kafka://user:password@host:port,host:port/topic?partitions=12&replication=3`; only a host is required.

`ssl=true` or `ssl_ca_certs` turns on TLS with verification of the servers. User and password are for SASL, with the
mechanism in the option `sasl` (`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`). `partitions` and `replication` apply when
the topic is created; the default of `replication` is the cluster's.
"""

from typing import Any

from msgspec import Struct

from repositories.address import Address, BadAddress, Host, address_of

_PORT = 9092
_OPTIONS = {"name", "partitions", "replication", "ssl", "ssl_ca_certs", "sasl"}
_MECHANISMS = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}


class KafkaTarget(Struct, frozen=True):
    """`client` is the librdkafka configuration. `replication` is -1 for the cluster's default."""

    name: str
    client: dict[str, Any]
    topic: str
    partitions: int
    replication: int


def target_of(url: str) -> KafkaTarget:
    """Raises `BadAddress`."""
    address = address_of(url, options=_OPTIONS)
    if not address.hosts:
        raise BadAddress("a host is missing")
    topic = address.path or "quartet.events"
    if len(topic) > 249 or not all(c.isascii() and (c.isalnum() or c in "._-") for c in topic):
        raise BadAddress("the name of a topic has up to 249 letters, digits, dots, underscores and hyphens")
    hosts = ",".join(str(Host(host.name, host.port or _PORT)) for host in address.hosts)
    return KafkaTarget(
        address.options.get("name") or "kafka",
        {"bootstrap.servers": hosts} | _security(address),
        topic,
        _number(address, "partitions", 12),
        _number(address, "replication", -1),
    )


def _security(address: Address) -> dict[str, Any]:
    tls = address.flag("ssl") or "ssl_ca_certs" in address.options
    mechanism = address.options.get("sasl", "SCRAM-SHA-512")
    if mechanism not in _MECHANISMS:
        raise BadAddress(f"the option sasl must be one of {', '.join(sorted(_MECHANISMS))}")
    if "sasl" in address.options and not address.user:
        raise BadAddress("the option sasl needs a user")
    protocol = ("SASL_" if address.user else "") + ("SSL" if tls else "PLAINTEXT")
    found = {"security.protocol": protocol}
    if address.user:
        found |= {"sasl.mechanism": mechanism, "sasl.username": address.user, "sasl.password": address.password}
    if "ssl_ca_certs" in address.options:
        found["ssl.ca.location"] = address.options["ssl_ca_certs"]
    return found


def _number(address: Address, option: str, default: int) -> int:
    value = address.options.get(option)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 10_000):
        raise BadAddress(f"the option {option} is a number from 1 to 10000")
    return int(value)
