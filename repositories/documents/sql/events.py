"""Unsent events in SQL: rows of a separate table, written in the document's transaction."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from repositories.documents.outbox_order import Waiting
from repositories.documents.times import micros, moment
from repositories.outbox import DeadLetter
from repositories.records.events import Event
from repositories.sql import SqlWork, id_of

INSERT = """
    INSERT INTO documents_events (kind, document_id, number, id, type, aggregate, happened_at, payload, traceparent,
        publishes, due_at, attempts)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
"""


class SqlCarrier(NamedTuple):
    """Identifies the document that an event belongs to. Only comments have a number."""

    kind: str
    document_id: UUID
    number: int = 0


def append(work: SqlWork, of: SqlCarrier, event: Event, *, publishes: bool = False) -> None:
    """Store an event. With `publishes` its document is in flight until the event is acknowledged."""
    happened_at = micros(event.happened_at)
    kept = (event.id, event.type, event.aggregate, happened_at, event.payload, event.traceparent)
    work.execute(INSERT, (*of, *kept, publishes, happened_at))


def waiting(row: Sequence[Any]) -> Waiting:
    """From a row of kind, document_id, number, id, type, aggregate, happened_at, payload, traceparent, attempts,
    due_at, lease_until.
    """
    return Waiting(carrier(row), _event(row), attempts=row[9], due=row[10], leased_until=row[11])


def dead_letter(row: Sequence[Any]) -> DeadLetter:
    """From the columns of `waiting`, followed by dead_lettered_at and reason."""
    return DeadLetter(_event(row), attempts=row[9], dead_lettered_at=moment(row[12]), reason=row[13])


def carrier(row: Sequence[Any]) -> SqlCarrier:
    """From a row that begins with kind, document_id, number."""
    return SqlCarrier(row[0], id_of(row[1]), row[2])


def _event(row: Sequence[Any]) -> Event:
    return Event(id_of(row[3]), row[4], row[5], moment(row[6]), row[7], row[8])
