"""A sink in memory, and helpers to serve it."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from app.container import Container
from app.envelopes import PREFIX
from app.worker.sinks.running import envelopes_of
from app.worker.sinks.sending import SinkWorker
from repositories.errors import Unavailable
from repositories.records.events import Event
from repositories.sinks import Destination, Message, Refused, Sent, Sink
from tests.contracts.document_store import an_event

LIKED = b"""{"type": "PostLiked", "post_id": "00000000-0000-7000-8000-00000000000a",
    "account_id": "00000000-0000-7000-8000-00000000000b"}"""
LEASE, POLL = timedelta(seconds=30), timedelta(seconds=0.01)


class MemorySink(Sink):
    """Keeps the messages that it is sent, up to `room`, and refuses those in `refused`."""

    def __init__(self, name: str = "kafka") -> None:
        self.name = name
        self.destination = Destination("kafka", "quartet.events")
        self.kept: list[Message] = []
        self.room: int | None = None
        self.refused: set[str] = set()

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return []

    def send(self, messages: Sequence[Message], more: Callable[[], Sequence[Message]] = tuple) -> Sent:
        for count, message in enumerate(messages):
            if message.id in self.refused:
                return Sent(count, Refused("too large"))
            if self.room == 0:
                return Sent(count, Unavailable("sinks", "full"))
            self.room = None if self.room is None else self.room - 1
            self.kept.append(message)
        return Sent(len(messages))

    def close(self) -> None: ...

    def types(self) -> list[str]:
        return [message.type.removeprefix(PREFIX) for message in self.kept]


def worker(container: Container, sink: Sink, lease: timedelta = LEASE) -> SinkWorker:
    return SinkWorker(container.stores.relational, sink, "/quartet", lease, POLL)


def rewind(container: Container, since: datetime) -> None:
    with container.stores.relational.transaction() as tx:
        tx.event_log.rewind("kafka", since=since)


def serve(one: SinkWorker) -> int:
    done = 0
    while moved := one.step():
        done += moved
    return done


def log(container: Container, count: int, *, made: bool = True, source: str = "/quartet") -> list[str]:
    """Append `count` events to the event log, like a relay; without `made` like an earlier version, which made no
    envelopes. Returns their ids.
    """
    events = [Event(one.id, "PostLiked", one.aggregate, one.happened_at, LIKED) for one in map(an_event, "a" * count)]
    with container.stores.relational.transaction() as tx:
        tx.event_log.append(events, envelopes_of(events, source) if made else None)
    return [str(one.id) for one in events]


def ids(shelf: MemorySink) -> list[str]:
    return [message.id for message in shelf.kept]
