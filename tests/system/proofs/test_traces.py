"""One trace through both brokers: from the author's request to the message that a consumer of another vendor gets."""

import json
from pathlib import Path

import pytest

from tests.engines.brokers import Broker
from tests.recorded import receiver
from tests.system.live import Live, migrated
from tests.system.traced import PATIENCE, TRACE, tell, told

pytestmark = pytest.mark.proof
PUBLISHED = "quartet.post.published.v1"


def test_the_trace_of_a_post_continues_through_both_brokers(brokers: dict[str, Broker], tmp_path: Path) -> None:
    places = {name: broker.place() for name, broker in brokers.items()}
    for name, broker in brokers.items():
        broker.prepared(places[name]).close()
    sinks = ",".join(broker.url(places[name]) for name, broker in brokers.items())
    migrated(tmp_path)
    with receiver() as collector:
        live = Live(tmp_path, WORKERS="2", TRACES_URL=f"http://127.0.0.1:{collector.port}", SINKS=sinks).answering()
        try:
            tell(live)
            # The events of the follow, and of the post.
            received = {name: broker.received(places[name], 2) for name, broker in brokers.items()}
            live.terminate()
            assert live.ended(PATIENCE) == 0, live.output
        finally:
            live.close()
    found = told(collector.story)
    for name, messages in received.items():
        [event] = [json.loads(one.body) for one in messages if one.type == PUBLISHED]
        assert event["traceparent"] == found.traceparent
        sending = [one for one in collector.story.named("send events") if found.link in one.links]
        [sent] = [one for one in sending if one.attributes["quartet.sink"] == name]
        assert sent.kind == "PRODUCER"
        assert (sent.attributes["messaging.system"], sent.attributes["messaging.destination.name"]) == (
            name,
            places[name],
        )
        assert sent.trace not in {TRACE, found.batch}, "a batch has events of several traces, and so a trace of its own"
        asked = [one for one in collector.story.below(sent) if one.kind == "CLIENT"]
        assert any(one.name == f"send {name}" for one in asked)
