"""Creates the topic. Never changes its number of partitions, since that would move keys to other partitions."""

from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from repositories.errors import Unavailable
from repositories.sinks.kafka.target import KafkaTarget
from repositories.sinks.port import ROLE

# The broker's default, used if the topic's limit cannot be read.
_DEFAULT_LIMIT = 1_048_588


def limit(admin: AdminClient, target: KafkaTarget, seconds: float) -> int:
    """The largest batch that the topic accepts, in bytes. Raises `Unavailable` if the topic does not exist."""
    if not _exists(admin, target, seconds):
        raise Unavailable(ROLE, f"the topic {target.topic} is missing: quartet migrate creates it")
    which = ConfigResource(ResourceType.TOPIC, target.topic)
    try:
        (answer,) = admin.describe_configs([which], request_timeout=seconds).values()
        return int(answer.result()["max.message.bytes"].value)
    except KafkaException as error:
        # Permission to write to a topic does not include permission to read its configuration.
        if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return _DEFAULT_LIMIT
        raise


def migrate(admin: AdminClient, target: KafkaTarget, seconds: float, *, dry_run: bool) -> list[str]:
    if _exists(admin, target, seconds):
        return []
    if not dry_run:
        new = NewTopic(target.topic, num_partitions=target.partitions, replication_factor=target.replication)
        (made,) = admin.create_topics([new], request_timeout=seconds).values()
        try:
            made.result()
        except KafkaException as error:
            # A concurrent migration may have created it.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    return [f"sinks: create topic {target.topic} with {target.partitions} partitions"]


def _exists(admin: AdminClient, target: KafkaTarget, seconds: float) -> bool:
    found: Any = admin.list_topics(target.topic, timeout=seconds).topics[target.topic]
    if found.error is not None and found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise KafkaException(found.error)
    return found.error is None
