"""Spans of the relay, by OpenTelemetry's semantic conventions for messaging.

A round serves events of several traces, so its span starts a new trace that links to each of them.
"""

from collections.abc import Iterator, Sequence

from app.services.feeds.fanouts import Unfinished
from app.telemetry import spans
from repositories.outbox import Claim
from repositories.sinks import Destination, Message

MESSAGING: spans.Attributes = {"messaging.system": "quartet", "messaging.destination.name": "outbox"}
_COUNT = "messaging.batch.message_count"


def batch(claims: Sequence[Claim]) -> spans.step:
    """The span around the claims of one round. Starts a new trace, linked to those of the events."""
    attributes: spans.Attributes = {
        "messaging.operation.name": "receive",
        "messaging.operation.type": "receive",
        _COUNT: len(claims),
    }
    links = sorted({claim.event.traceparent for claim in claims})
    return spans.step("receive outbox", MESSAGING | attributes, parent="", links=links, kind=spans.CONSUMER)


def attempt(claim: Claim) -> spans.step:
    """The span around one try of an event: in the trace that wrote the event, linked to the batch span."""
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
    """The span around sending a batch to a sink. Like a round, it starts a new trace with links.

    For a receiver of webhooks it has the attributes of HTTP requests instead of those of messaging. Only the host of
    the URL is recorded, since the rest may hold a secret.
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
    """Add the links of messages that joined the batch being sent. `count` is the new size of the batch."""
    spans.also(_written_by(messages), {_COUNT: count})


def _written_by(messages: Sequence[Message]) -> Iterator[str]:
    yield from sorted({one.traceparent for one in messages})
