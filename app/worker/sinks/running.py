"""The threads in which a relay serves sinks, and the function that logs events for them."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

from msgspec import DecodeError

from app.container import Container
from app.envelopes import leaves, maker, prepared
from app.worker.sinks.receivers import Receivers
from app.worker.sinks.sending import SinkWorker, worker_of
from app.worker.threads import beside
from repositories.records.events import Event
from repositories.relational.event_log_port import Envelopes


def workers_of(container: Container) -> list[SinkWorker]:
    """One worker for each sink that exists now."""
    return [*(worker_of(container, sink) for sink in container.stores.sinks), *Receivers(container).workers()]


@contextlib.contextmanager
def sending(container: Container, stop: threading.Event) -> Iterator[None]:
    """Serve each sink in a thread during the block, until `stop` is set."""
    runs = [worker_of(container, sink).run for sink in container.stores.sinks]
    if container.settings.webhooks_token:
        runs.append(Receivers(container).run)
    # A batch that is being sent ends at its own deadline, `sinks_timeout`.
    with beside("sink", runs, stop, patience=container.settings.sinks_timeout + 5):
        yield


def envelopes_of(events: Sequence[Event], source: str) -> Envelopes:
    """The envelopes of the events that can be decoded. The others are dead-lettered by the sinks' workers."""
    made: dict[UUID, bytes] = {}
    for event in events:
        with contextlib.suppress(DecodeError):
            made[event.id] = prepared(event, source)
    return Envelopes(maker(source), made)


def log_of(container: Container) -> Callable[[Sequence[Event]], None]:
    """The relay's `log_events`: appends events that leave the system to the event log. Does nothing without sinks."""
    relational, source = container.stores.relational, container.settings.sinks_source

    def append(events: Sequence[Event]) -> None:
        leaving = [event for event in events if leaves(event)]
        if leaving:
            envelopes = envelopes_of(leaving, source)
            with relational.transaction() as tx:
                tx.event_log.append(leaving, envelopes)

    return append if container.settings.logs_events else lambda _events: None
