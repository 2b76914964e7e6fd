"""Sinks: RabbitMQ and Kafka. The URL's scheme decides."""

import re
from datetime import timedelta

from repositories.address import BadAddress
from repositories.sinks.port import CONTENT_TYPE, Message, Refused, Sent, Sink

__all__ = ["CONTENT_TYPE", "SCHEMES", "Message", "Refused", "Sent", "Sink", "open_sinks"]

SCHEMES = ("amqp", "amqps", "kafka")
# A comma within a URL separates hosts.
_BETWEEN = re.compile(r"\s*,\s*(?=[a-z0-9+.-]+://)")


def open_sinks(urls: str, *, timeout: timedelta) -> list[Sink]:
    """Of `amqp://...`, `amqps://...` and `kafka://...`, separated by commas. `timeout` is that of sending a batch.

    Raises `BadAddress`. The drivers are imported, and connected, only when used.
    """
    try:
        sinks = [_open(url, timeout) for url in _BETWEEN.split(urls.strip()) if url]
    except BadAddress as error:
        error.setting = "sinks"
        raise
    names = [sink.name for sink in sinks]
    for name in names:
        if names.count(name) > 1:
            raise BadAddress(f"two sinks are called {name}; the option name gives one of them another", setting="sinks")
    return sinks


def _open(url: str, timeout: timedelta) -> Sink:
    scheme = url.partition("://")[0]
    if scheme in {"amqp", "amqps"}:
        from repositories.sinks.rabbitmq.sink import RabbitSink

        return RabbitSink(url, timeout=timeout)
    if scheme == "kafka":
        from repositories.sinks.kafka.sink import KafkaSink

        return KafkaSink(url, timeout=timeout)
    raise BadAddress(f"the scheme must be one of {', '.join(SCHEMES)}")
