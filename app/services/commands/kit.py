"""The kit of every service: clock, ids, retries and the emitter of events."""

from datetime import datetime
from typing import Self

from msgspec import Struct

from app.clock import Clock
from app.events import AnyEvent, pack
from app.ids import Ids
from app.services.commands.retrying import Retry
from repositories.records.events import Event


class Emitter:
    """Packs an event for an outbox, with an id, a time and the trace of the request."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids

    def __call__(self, event: AnyEvent, *, at: datetime | None = None) -> Event:
        """`at` is the time of the change; by default the current time."""
        return pack(self._ids(), event, at=at or self._clock())


class Kit(Struct, frozen=True):
    clock: Clock
    ids: Ids
    retry: Retry
    emitter: Emitter

    @classmethod
    def of(cls, clock: Clock) -> Self:
        ids = Ids(clock)
        return cls(clock, ids, Retry(), Emitter(clock, ids))
