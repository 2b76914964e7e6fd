"""The sinks role: RabbitMQ and Kafka, selected by the URL's scheme, and receivers of webhooks."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from repositories.address import BadAddress
from repositories.sinks.port import CONTENT_TYPE, AskedToWait, Destination, Gone, Message, Refused, Sent, Sink
from repositories.sinks.webhooks.permitted_addresses import Inside
from repositories.sinks.webhooks.target import target_of as webhook_target

__all__ = [
    "CONTENT_TYPE",
    "SCHEMES",
    "AskedToWait",
    "Destination",
    "Gone",
    "Inside",
    "Message",
    "Refused",
    "Sent",
    "Sink",
    "open_sinks",
    "open_webhook",
    "webhook_target",
]

SCHEMES = ("amqp", "amqps", "kafka")
# A comma within a URL separates hosts.
_BETWEEN = re.compile(r"\s*,\s*(?=[a-z0-9+.-]+://)")


def open_sinks(urls: str, *, timeout: timedelta) -> list[Sink]:
    """Open the sinks of a comma-separated list of `amqp://...`, `amqps://...` and `kafka://...` URLs.

    `timeout` bounds the sending of a batch. A driver is imported only for its own scheme, and connects on first use.
    Raises `BadAddress`.
    """
    try:
        sinks = [_open(url, timeout) for url in _BETWEEN.split(urls.strip()) if url]
    except BadAddress as error:
        error.setting = "sinks"
        raise
    names = [sink.name for sink in sinks]
    for name in names:
        if names.count(name) > 1:
            raise BadAddress(f"two sinks are called {name}; rename one with the option name", setting="sinks")
    return sinks


def open_webhook(
    name: str, url: str, secrets: Sequence[str], *, timeout: timedelta, inside: Inside, clock: Callable[[], datetime]
) -> Sink:
    """Open the sink of a webhook receiver. Deliveries are signed with each of `secrets`; `timeout` bounds one delivery.
    `inside` are the private networks to which it may connect. Raises `BadAddress`.
    """
    from repositories.sinks.webhooks.sink import WebhookSink

    return WebhookSink(name, url, secrets, timeout=timeout, inside=inside, clock=clock)


def _open(url: str, timeout: timedelta) -> Sink:
    scheme = url.partition("://")[0]
    if scheme in {"amqp", "amqps"}:
        from repositories.sinks.rabbitmq.sink import RabbitSink

        return RabbitSink(url, timeout=timeout)
    if scheme == "kafka":
        from repositories.sinks.kafka.sink import KafkaSink

        return KafkaSink(url, timeout=timeout)
    raise BadAddress(f"the scheme must be one of {', '.join(SCHEMES)}")
