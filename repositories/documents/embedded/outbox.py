"""The outbox over all documents of SQLite that have unsent events."""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID, uuid4

from repositories.documents.embedded.events import EmbeddedCarrier, array, dead_letter, waiting
from repositories.documents.outbox_order import Waiting, in_outbox_order
from repositories.documents.times import micros, moment
from repositories.outbox import Backlog, Claim, DeadLetter, Outbox
from repositories.sqlite import SqliteFile


class EmbeddedOutbox(Outbox):
    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def now(self) -> None:
        return None

    def claim(self, *, now: datetime, lease_until: datetime, limit: int) -> list[Claim]:
        if limit < 1:
            return []
        lease = uuid4()
        with self._file.write() as connection:
            claimable = in_outbox_order(_due(connection, micros(now), limit), now=micros(now), limit=limit)
            ids = array(one.event.id for one in claimable)
            connection.execute(LEASE, (str(lease), micros(lease_until), ids))
        return [Claim(one.event, one.attempts, lease) for one in claimable]

    def acknowledge(self, claims: Sequence[Claim]) -> None:
        ids = array(claim.event.id for claim in claims)
        with self._file.write() as connection:
            carriers = [EmbeddedCarrier(*row) for row in connection.execute(CARRIERS, (ids,))]
            connection.execute("DELETE FROM documents_events WHERE id IN (SELECT value FROM json_each(?))", (ids,))
            for carrier in carriers:
                _purge(connection, carrier)

    def release(self, claims: Sequence[Claim]) -> None:
        with self._file.write() as connection:
            connection.executemany(RELEASE, [(str(claim.event.id), str(claim.lease)) for claim in claims])

    def postpone(self, claim: Claim, *, due: datetime, attempts: int) -> None:
        with self._file.write() as connection:
            held = (str(claim.event.id), str(claim.lease))
            connection.execute(POSTPONE, (micros(due), attempts, *held))

    def dead_letter(self, claim: Claim, *, reason: str, attempts: int, now: datetime) -> None:
        with self._file.write() as connection:
            held = (str(claim.event.id), str(claim.lease))
            connection.execute(DEAD_LETTER, (micros(now), reason, attempts, *held))

    def dead_letters(self, *, limit: int) -> list[DeadLetter]:
        return [dead_letter(row) for row in self._file.rows(DEAD_LETTERS, (max(limit, 0),))]

    def replay(self, event_ids: Sequence[UUID] | None, *, now: datetime) -> int:
        with self._file.write() as connection:
            these = None if event_ids is None else array(event_ids)
            return connection.execute(REPLAY, {"now": micros(now), "these": these}).rowcount

    def backlog(self) -> Backlog:
        ((unsent, oldest, dead_lettered),) = self._file.rows(BACKLOG)
        return Backlog(unsent, dead_lettered, None if oldest is None else moment(oldest))


LEASE = """
    UPDATE documents_events SET lease = ?, lease_until = ? WHERE id IN (SELECT value FROM json_each(?))
"""
CARRIERS = """
    SELECT DISTINCT kind, document_id, number FROM documents_events
    WHERE id IN (SELECT value FROM json_each(?))
"""
RELEASE = "UPDATE documents_events SET lease = NULL, lease_until = NULL WHERE id = ? AND lease = ?"
POSTPONE = """
    UPDATE documents_events SET due_at = ?, attempts = ?, lease = NULL, lease_until = NULL
    WHERE id = ? AND lease = ?
"""
DEAD_LETTER = """
    UPDATE documents_events SET dead_lettered_at = ?, reason = ?, attempts = ?, lease = NULL, lease_until = NULL
    WHERE id = ? AND lease = ?
"""
DEAD_LETTERS = """
    SELECT kind, document_id, number, id, type, aggregate, happened_at, payload, traceparent, attempts, due_at,
        lease_until, dead_lettered_at, reason
    FROM documents_events WHERE dead_lettered_at IS NOT NULL ORDER BY dead_lettered_at, id LIMIT ?
"""
REPLAY = """
    UPDATE documents_events SET due_at = :now, attempts = 0, dead_lettered_at = NULL, reason = NULL
    WHERE dead_lettered_at IS NOT NULL AND (:these IS NULL OR id IN (SELECT value FROM json_each(:these)))
"""
BACKLOG = """
    SELECT count(*), min(happened_at), (SELECT count(*) FROM documents_events WHERE dead_lettered_at IS NOT NULL)
    FROM documents_events WHERE dead_lettered_at IS NULL
"""
DUE = """
    WITH heads AS (
        SELECT kind, document_id, number FROM documents_events AS head
        WHERE dead_lettered_at IS NULL AND due_at <= :now AND (lease_until IS NULL OR lease_until <= :now)
        AND NOT EXISTS (
            SELECT 1 FROM documents_events AS earlier
            WHERE earlier.kind = head.kind AND earlier.document_id = head.document_id
            AND earlier.number = head.number AND earlier.seq < head.seq AND earlier.dead_lettered_at IS NULL
        )
        ORDER BY due_at, seq LIMIT :limit
    )
    SELECT kind, document_id, number, id, type, aggregate, happened_at, payload, traceparent, attempts, due_at,
        lease_until
    FROM heads JOIN documents_events USING (kind, document_id, number)
    WHERE dead_lettered_at IS NULL ORDER BY kind, document_id, number, seq
"""
LANDED = """
    UPDATE documents_posts SET in_flight = NULL WHERE id = :document_id AND NOT EXISTS (
        SELECT 1 FROM documents_events
        WHERE kind = 'post' AND document_id = :document_id AND number = 0 AND publishes
    )
"""
PURGE = {
    "post": """
        DELETE FROM documents_posts WHERE id = :document_id AND deleted_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM documents_events
            WHERE kind = 'post' AND document_id = :document_id AND number = 0
        )
    """,
    "comment": """
        DELETE FROM documents_comments
        WHERE post_id = :document_id AND number = :number AND deleted_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM documents_events
            WHERE kind = 'comment' AND document_id = :document_id AND number = :number
        )
    """,
    "product": """
        DELETE FROM documents_products WHERE id = :document_id AND deleted_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM documents_events
            WHERE kind = 'product' AND document_id = :document_id AND number = 0
        )
    """,
}
BURY_COMMENTS = """
    UPDATE documents_comments SET deleted_at = coalesce(deleted_at, 0), document = NULL
    WHERE post_id = :document_id
"""
CLEAR_COMMENTS = """
    DELETE FROM documents_comments WHERE post_id = :document_id AND NOT EXISTS (
        SELECT 1 FROM documents_events AS event
        WHERE event.kind = 'comment' AND event.document_id = post_id
        AND event.number = documents_comments.number
    )
"""


def _due(connection: sqlite3.Connection, now: int, limit: int) -> Iterable[list[Waiting]]:
    rows = [waiting(row) for row in connection.execute(DUE, {"now": now, "limit": limit})]
    return [list(events) for _, events in groupby(rows, key=lambda row: row.document)]


def _purge(connection: sqlite3.Connection, carrier: EmbeddedCarrier) -> None:
    """Remove the carrier if it is a tombstone whose events are all acknowledged, and with a post its comments."""
    of_carrier = carrier._asdict()
    gone = connection.execute(PURGE[carrier.kind], of_carrier).rowcount
    if carrier.kind == "post":
        connection.execute(LANDED, of_carrier)
    if carrier.kind == "post" and gone:
        connection.execute(CLEAR_COMMENTS, of_carrier)
        connection.execute(BURY_COMMENTS, of_carrier)
