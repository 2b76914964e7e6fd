"""Spans of the relay, by the semantic conventions for messages.

A round serves events of several traces, so its span is a trace of its own, linked to each of them.
"""

from collections.abc import Iterator, Sequence

from app.services.feeds.fanouts import Unfinished
from app.telemetry import spans
from repositories.outbox import Claim
from repositories.sinks import Destination, Message

MESSAGING: spans.Attributes = {"messaging.system": "quartet", "messaging.destination.name": "outbox"}
_COUNT = "messaging.batch.message_count"


def batch(claims: Sequence[Claim]) -> spans.step:
    """Around the claims of one round, which are of several traces."""
    attributes: spans.Attributes = {
        "messaging.operation.name": "receive",
        "messaging.operation.type": "receive",
        _COUNT: len(claims),
    }
    links = sorted({claim.event.traceparent for claim in claims})
    return spans.step("receive outbox", MESSAGING | attributes, parent="", links=links, kind=spans.CONSUMER)


def attempt(claim: Claim) -> spans.step:
    """Around one try of an event: in the trace of what wrote it, and linked to the batch that it came with."""
    event = claim.event
    attributes: spans.Attributes = {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": str(event.id),
        "quartet.event.type": event.type,
        "quartet.event.attempts": claim.attempts,
    }
    return spans.step(
        f"process {event.type}",
        MESSAGING | attributes,
        parent=event.traceparent,
        links=[spans.traceparent()],
        kind=spans.CONSUMER,
        expected=(Unfinished,),
    )


def sending(sink: str, to: Destination, messages: Sequence[Message]) -> spans.step:
    """Around the answer of a sink to a batch. As a round, it is of several traces.

    To a receiver of webhooks these are requests of HTTP, and no messages of a broker. Of their URL, which may hold a
    secret, there is the host.
    """
    attributes: spans.Attributes = {"quartet.sink": sink, _COUNT: len(messages)}
    kind = spans.PRODUCER
    if to.system == "http":
        kind = spans.CLIENT
        attributes |= {"http.request.method": "POST", "server.address": to.name}
    else:
        attributes |= {
            "messaging.system": to.system,
            "messaging.destination.name": to.name,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
        }
    return spans.step("send events", attributes, parent="", links=_written_by(messages), kind=kind)


def sent_too(messages: Sequence[Message], count: int) -> None:
    """These go out with a batch that is being sent, which has so many by now."""
    spans.also(_written_by(messages), {_COUNT: count})


def _written_by(messages: Sequence[Message]) -> Iterator[str]:
    yield from sorted({one.traceparent for one in messages})
