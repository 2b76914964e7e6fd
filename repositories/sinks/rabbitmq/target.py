"""Parses `amqp://user:password@host:port/vhost?exchange=quartet.events&queue=quartet.events`; only a host is required.

`amqps` is TLS, and verifies the server with the system's certificates or those of the option `ssl_ca_certs`. With
several hosts, the first that answers is used.
"""

from typing import Any

from msgspec import Struct

from repositories.address import BadAddress, Host, address_of

_PORTS = {"amqp": 5672, "amqps": 5671}
_OPTIONS = {"name", "exchange", "queue"}
_LONGEST = 255  # bytes: the limit of an AMQP short string


class RabbitTarget(Struct, frozen=True):
    """`connections` are the keyword arguments of `amqp.Connection`, one set per host."""

    name: str
    connections: tuple[dict[str, Any], ...]
    exchange: str
    queue: str


def target_of(url: str) -> RabbitTarget:
    """Raises `BadAddress`."""
    tls = url.startswith("amqps:")
    address = address_of(url, options=_OPTIONS | ({"ssl_ca_certs"} if tls else set()))
    if not address.hosts:
        raise BadAddress("a host is missing")
    common: dict[str, Any] = {"virtual_host": address.path or "/"}
    if address.user:
        common |= {"userid": address.user, "password": address.password}
    exchange = address.options.get("exchange", "quartet.events")
    queue = address.options.get("queue", exchange)
    for name in (exchange, queue):
        if not name or len(name.encode()) > _LONGEST or name.startswith("amq."):
            raise BadAddress("the names of exchange and queue have 1 to 255 bytes, and do not begin with amq.")
    connections = []
    for host in address.hosts:
        place = {"host": str(Host(host.name, host.port or _PORTS[address.scheme]))}
        ssl = {"server_hostname": host.name, "ca_certs": address.options.get("ssl_ca_certs")}
        connections.append(common | place | ({"ssl": ssl} if tls else {}))
    return RabbitTarget(address.options.get("name") or "rabbitmq", tuple(connections), exchange, queue)
