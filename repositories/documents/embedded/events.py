"""Unsent events in SQLite: rows beside the document, written in its transaction."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from repositories.documents.outbox_order import Waiting
from repositories.documents.times import micros, moment
from repositories.outbox import DeadLetter
from repositories.records import Event


class EmbeddedCarrier(NamedTuple):
    """The document that an event is of. Only comments have a number."""

    kind: str
    document_id: str
    number: int = 0


def append(connection: sqlite3.Connection, carrier: EmbeddedCarrier, event: Event, *, publishes: bool = False) -> None:
    """Store an event. One that `publishes` keeps its document in flight."""
    happened_at = micros(event.happened_at)
    kept = (str(event.id), event.type, event.aggregate, happened_at, event.payload, event.traceparent)
    connection.execute(
        """
        INSERT INTO documents_events (kind, document_id, number, id, type, aggregate, happened_at, payload,
            traceparent, publishes, due_at, attempts)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
        """,
        (*carrier, *kept, publishes, happened_at),
    )


def waiting(row: Sequence[Any]) -> Waiting:
    """From a row of these: kind, document_id, number, id, type, aggregate, happened_at, payload, traceparent,
    attempts, due_at, lease_until."""
    return Waiting(EmbeddedCarrier(*row[:3]), _event(row), attempts=row[9], due=row[10], leased_until=row[11])


def dead_letter(row: Sequence[Any]) -> DeadLetter:
    """From such a row with dead_lettered_at and reason behind it."""
    return DeadLetter(_event(row), attempts=row[9], dead_lettered_at=moment(row[12]), reason=row[13])


def array(values: Iterable[object]) -> str:
    """The JSON array that a statement unfolds with `json_each`: one parameter for any number of values."""
    return msgspec.json.encode(list(values)).decode()


def _event(row: Sequence[Any]) -> Event:
    return Event(UUID(row[3]), row[4], row[5], moment(row[6]), row[7], row[8])
