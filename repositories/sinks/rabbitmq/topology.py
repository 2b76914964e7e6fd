"""Declares a durable topic exchange, and a quorum queue that receives every message of it.

The queue keeps messages until the first consumer exists. Consumers bind further queues as they need them.
"""

from typing import Any

import amqp
from amqp.exceptions import ChannelError, NotFound

from repositories.errors import Unavailable
from repositories.sinks.port import ROLE
from repositories.sinks.rabbitmq.target import RabbitTarget

_DURABLE = {"durable": True, "auto_delete": False}
_KIND = {"x-queue-type": "quorum"}


def check(connection: amqp.Connection, target: RabbitTarget) -> None:
    """Raise `Unavailable` if the exchange is missing. A missing queue shows later, when a message is returned."""
    if not _exists(connection, target.exchange):
        raise Unavailable(ROLE, f"the exchange {target.exchange} is missing: quartet migrate creates it")


def migrate(connection: amqp.Connection, target: RabbitTarget, *, dry_run: bool) -> list[str]:
    """Create the exchange and its queue. If the exchange exists, nothing is created: a removed queue stays removed."""
    if _exists(connection, target.exchange):
        return []
    if not dry_run:
        channel = connection.channel()
        try:
            channel.queue_declare(target.queue, arguments=_KIND, **_DURABLE)
            channel.exchange_declare(target.exchange, type="topic", **_DURABLE)
            channel.queue_bind(target.queue, target.exchange, "#")
        except ChannelError as error:
            raise Unavailable(ROLE, f"the queue {target.queue} is of another kind: {error.reply_text}") from error
        channel.close()
    return [f"sinks: create exchange {target.exchange} with queue {target.queue}"]


def _exists(connection: amqp.Connection, name: str) -> bool:
    """Ask on a separate channel, since the server closes the channel if the exchange is missing."""
    channel: Any = connection.channel()
    try:
        channel.exchange_declare(name, type="topic", passive=True)
    except NotFound:
        return False
    channel.close()
    return True
