"""Posts each event to a receiver, signed by the Standard Webhooks specification. Only a 2xx status acknowledges it.

Up to `LANES` events with different keys are sent concurrently, each on its own connection; the next group waits for all
of them. So no later event of the same key overtakes one that fails, and only one group is repeated.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from standardwebhooks import Webhook

from repositories.errors import Unavailable
from repositories.http_client.exchange import HttpAnswer, HttpConnection
from repositories.meter import asked
from repositories.sinks.port import CONTENT_TYPE, ROLE, AskedToWait, Destination, Gone, Message, Sent, Sink
from repositories.sinks.webhooks.permitted_addresses import Inside, is_permitted
from repositories.sinks.webhooks.target import target_of

# Concurrent events to one receiver, and connections to it.
LANES = 4
# Maximum size of a response body, which is ignored. Bytes.
_MOST_BODY = 16 * 1024
_GONE = 410
Failure = Unavailable | Gone | None


class WebhookSink(Sink):
    """`send` starts no delivery after `timeout`, and each has `timeout` itself, so it lasts at most twice as long."""

    def __init__(
        self,
        name: str,
        url: str,
        secrets: Sequence[str],
        *,
        timeout: timedelta,
        inside: Inside,
        clock: Callable[[], datetime],
    ) -> None:
        self.name = name
        target = target_of(url, inside)
        self.destination = Destination("http", target.origin.host)
        plain = target.origin.scheme == "http"
        self._target = target.target
        self._signers = [Webhook(secret) for secret in secrets]
        self._seconds = timeout.total_seconds()
        self._clock = clock
        self._lanes = [
            HttpConnection(
                target.origin,
                most_body=_MOST_BODY,
                permits=lambda address: is_permitted(address, inside, plain=plain),
            )
            for _ in range(LANES)
        ]

    def migrate(self, *, dry_run: bool = False) -> list[str]:  # noqa: ARG002  a receiver needs no setup
        return []

    def send(self, messages: Sequence[Message], more: Callable[[], Sequence[Message]] = tuple) -> Sent:  # noqa: ARG002  it waits for answers
        over, count = time.monotonic() + self._seconds, 0
        while count < len(messages) and (count == 0 or time.monotonic() < over):
            for failure in self._deliver(_next_group(messages, count)):
                if failure:
                    return Sent(count, failure)
                count += 1
        return Sent(count)

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()

    def _deliver(self, messages: Sequence[Message]) -> list[Failure]:
        """Send concurrently. Returns the outcome of each message, up to the first that could not be sent."""
        until = time.monotonic() + self._seconds
        begun: list[HttpConnection] = []
        failures: list[Failure] = []
        try:
            with asked(ROLE, "send webhooks", len(messages)):
                for lane, message in zip(self._lanes, messages, strict=False):
                    lane.send("POST", self._target, self._headers(message), message.body, until)
                    begun.append(lane)
        except OSError as error:
            failures = [_unavailable(error)]
        return [self._answered(lane, until) for lane in begun] + failures

    def _answered(self, lane: HttpConnection, until: float) -> Failure:
        try:
            answer = lane.receive(until)
        except OSError as error:
            return _unavailable(error)
        return _failure(answer, self._clock())

    def _headers(self, message: Message) -> list[tuple[str, str]]:
        now = self._clock().astimezone(UTC)
        signatures = (one.sign(message.id, now, message.body.decode()) for one in self._signers)
        traced = [("traceparent", message.traceparent)] if message.traceparent else []
        return [
            ("Content-Type", CONTENT_TYPE),
            ("User-Agent", "Quartet"),
            ("webhook-id", message.id),
            ("webhook-timestamp", str(int(now.timestamp()))),
            ("webhook-signature", " ".join(signatures)),
            *traced,
        ]


def _next_group(messages: Sequence[Message], start: int) -> Sequence[Message]:
    """The next group from `start`: at most `LANES` messages, ending before the second one with the same key."""
    keys: set[str] = set()
    for message in messages[start : start + LANES]:
        if message.key in keys:
            break
        keys.add(message.key)
    return messages[start : start + len(keys)]


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(ROLE, f"{type(error).__name__}: {error}")


def _failure(answer: HttpAnswer, now: datetime) -> Failure:
    if 200 <= answer.status < 300:
        return None
    if answer.status == _GONE:
        return Gone("the receiver answers 410")
    reason, wait = f"the receiver answers {answer.status}", _wait(answer.headers.get("retry-after", ""), now)
    return AskedToWait(ROLE, reason, wait) if wait else Unavailable(ROLE, reason)


def _wait(sent: str, now: datetime) -> timedelta | None:
    """Parse `Retry-After` (seconds or a date), capped at a day. None if it is invalid or in the past."""
    day = timedelta(days=1)
    if sent.isascii() and sent.isdigit():
        return min(day, timedelta(seconds=int(sent[:9])))
    try:
        until = parsedate_to_datetime(sent)
    except (ValueError, OverflowError):
        return None
    left = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    return min(day, left) if left > timedelta(0) else None
