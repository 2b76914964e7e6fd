"""Reports the driver's command and pool events to the meter. Listeners are called in the thread of the command."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pymongo import MongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
    ConnectionCheckedInEvent,
    ConnectionCheckedOutEvent,
    ConnectionCheckOutFailedEvent,
    ConnectionCheckOutStartedEvent,
    ConnectionClosedEvent,
    ConnectionCreatedEvent,
    ConnectionPoolListener,
    ConnectionReadyEvent,
    PoolClearedEvent,
    PoolClosedEvent,
    PoolCreatedEvent,
    PoolReadyEvent,
)

from repositories import meter, read_your_writes
from repositories.documents.mongo.explaining import EXPLAINED, explained
from repositories.slow_statements import Statement, of, took

STORE, ON_REPLICA = "documents", "documents-replica"
WAITED = 0.001  # seconds; checking out a free connection takes a hundredth of that


class CommandWatch(CommandListener):
    """Counts one round trip per command, including `getMore` and `commitTransaction`.

    Also notes the position of a request that writes. Every answer has the time of the last operation, which orders all
    operations of the replica set. Answers to reads count too, since a repeated command may only find the effect of the
    first one.
    """

    def __init__(self, client: Callable[[], MongoClient[Any]]) -> None:
        """`client` returns the client that explains slow commands."""
        self._thread = threading.local()
        self._client = client

    def started(self, event: CommandStartedEvent) -> None:
        about = event.command.get(event.command_name)
        self._thread.asked = f"{event.command_name} {about}" if isinstance(about, str) else event.command_name
        self._thread.slow = self._explaining(event) if event.command_name in EXPLAINED else None

    def succeeded(self, event: CommandSucceededEvent) -> None:
        seconds, operation = event.duration_micros / 1e6, self._operation(event.command_name)
        meter.called(self._store, operation, seconds)
        if (slow := getattr(self._thread, "slow", None)) is not None:
            took(self._store, operation, seconds, slow)
        mine = read_your_writes.writing()
        if mine is not None and (at := event.reply.get("operationTime")):
            mine.note(STORE, f"{at.time:012x}{at.inc:012x}")

    def failed(self, event: CommandFailedEvent) -> None:
        meter.called(self._store, self._operation(event.command_name), event.duration_micros / 1e6, ok=False)

    def _explaining(self, event: CommandStartedEvent) -> Statement | None:
        return of(
            self._thread.asked,
            lambda: explained(self._client(), event.database_name, event.command_name, event.command),
        )

    @contextlib.contextmanager
    def on_replica(self) -> Iterator[None]:
        """Report the commands of this thread within the block as sent to a secondary."""
        self._thread.store = ON_REPLICA
        try:
            yield
        finally:
            self._thread.store = STORE

    @property
    def _store(self) -> str:
        return getattr(self._thread, "store", STORE)

    def _operation(self, command: str) -> str:
        return getattr(self._thread, "asked", command)


class PoolWatch(ConnectionPoolListener):
    """Counts connections that are open and in use, and reports waits for a connection."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.open = 0
        self.in_use = 0

    def connection_created(self, _event: ConnectionCreatedEvent) -> None:
        with self._guard:
            self.open += 1

    def connection_closed(self, _event: ConnectionClosedEvent) -> None:
        with self._guard:
            self.open -= 1

    def connection_checked_out(self, event: ConnectionCheckedOutEvent) -> None:
        with self._guard:
            self.in_use += 1
        self._report(event.duration)

    def connection_check_out_failed(self, event: ConnectionCheckOutFailedEvent) -> None:
        self._report(event.duration)

    def connection_checked_in(self, _event: ConnectionCheckedInEvent) -> None:
        with self._guard:
            self.in_use -= 1

    def connection_check_out_started(self, event: ConnectionCheckOutStartedEvent) -> None: ...

    def connection_ready(self, event: ConnectionReadyEvent) -> None: ...

    def pool_created(self, event: PoolCreatedEvent) -> None: ...

    def pool_ready(self, event: PoolReadyEvent) -> None: ...

    def pool_cleared(self, event: PoolClearedEvent) -> None: ...

    def pool_closed(self, event: PoolClosedEvent) -> None: ...

    def _report(self, seconds: float | None) -> None:
        if seconds is not None and seconds >= WAITED:
            meter.waited(STORE, seconds)
