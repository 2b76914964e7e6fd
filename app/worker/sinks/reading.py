"""Reads batches of the event log as messages for a sink."""

from collections.abc import Callable, Sequence
from typing import cast

import msgspec
from msgspec import Struct

from app.envelopes import id_and_type, maker, messages_of, name_of, placed, prepared
from repositories.relational import RelationalStore
from repositories.relational.event_log_port import Logged
from repositories.sinks import Message, Refused


class Stop(Struct, frozen=True):
    """The event at which a batch stops, and why; None if there was no time left to send it."""

    position: int
    event_id: str
    why: Exception | None


class Batch(Struct):
    """A batch of logged events after the position `after`.

    `read` are the positions of all events read, `wanted` those of the events the sink wants, with their `ids` and
    `messages`. `more`: further events may follow, since as many were read as were asked for. `bad` is the event at
    which reading stopped because it cannot be decoded.
    """

    after: int
    read: list[int]
    wanted: list[int]
    ids: list[str]
    messages: list[Message]
    more: bool
    bad: Stop | None = None

    @property
    def end(self) -> int:
        return self.read[-1] if self.read else self.after

    def add(self, following: "Batch") -> None:
        """Append `following`, but not its messages.

        They are handed to the sink and not referenced here, so that the allocator reuses their memory for the next
        ones: memory that was just in use is much faster than new memory.
        """
        self.read += following.read
        self.wanted += following.wanted
        self.ids += following.ids
        self.more, self.bad = following.more, following.bad


class LogReading:
    """Reads the events whose type passes `wants`, all if it is None. `source` is the `source` of the envelopes."""

    def __init__(self, relational: RelationalStore, source: str, wants: Callable[[str], bool] | None) -> None:
        self._log = relational.event_log
        self._source = source
        self._wants = wants

    def batch(self, position: int, most: int) -> Batch:
        ready = self._log.ready(position, limit=most, made_by=maker(self._source))
        if any(envelope is None for _, _, envelope in ready):
            return self._made(position, most)
        made = cast("Sequence[tuple[int, str, bytes]]", ready)
        read, messages, wants, more = [at for at, _, _ in ready], messages_of(made), self._wants, len(ready) == most
        wanted = read.copy()
        if wants is not None:
            wanted = [at for at, one in zip(read, messages, strict=True) if wants(one.type)]
            messages = [one for one in messages if wants(one.type)]
        return Batch(position, read, wanted, [one.id for one in messages], messages, more)

    def message(self, logged: Logged) -> Message:
        """Make the message of a logged event. Raises `msgspec.DecodeError` if no version of this code wrote it."""
        event = logged.event
        body = placed(prepared(event, self._source), logged.position)
        id_, type_ = id_and_type(body)
        return Message(id_, event.aggregate, type_, body)

    def _made(self, position: int, most: int) -> Batch:
        """Make a batch by encoding the events, up to the first that no version of this code wrote."""
        batch = Batch(position, [], [], [], [], more=False)
        logged, wants = self._log.after(position, limit=most), self._wants
        for one in logged:
            event = one.event
            if wants is None or wants(name_of(event.type)):
                try:
                    batch.messages.append(self.message(one))
                except msgspec.DecodeError as error:
                    batch.bad = Stop(one.position, str(event.id), unreadable(one, error))
                    return batch
                batch.wanted.append(one.position)
                batch.ids.append(batch.messages[-1].id)
            batch.read.append(one.position)
        batch.more = len(logged) == most
        return batch


def unreadable(logged: Logged, error: Exception) -> Refused:
    return Refused(f"{logged.event.type} cannot be read: {error}")
