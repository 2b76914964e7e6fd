"""The outbox over all documents in SQL that have unsent events.

Row locks are taken in this order: posts, comments, products, events; each by key. A transaction that adds an event has
locked the row of its document, and one that changes a comment the row of its post.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID, uuid4

from repositories.documents.outbox_order import Waiting, in_outbox_order
from repositories.documents.sql.events import SqlCarrier, carrier, dead_letter, waiting
from repositories.documents.times import micros, moment
from repositories.outbox import Backlog, Claim, DeadLetter, Outbox
from repositories.sql import SqlDatabase, SqlWork


class SqlOutbox(Outbox):
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def now(self) -> None:
        return None

    def claim(self, *, now: datetime, lease_until: datetime, limit: int) -> list[Claim]:
        if limit < 1:
            return []
        lease = uuid4()
        with self._database.write() as work:
            claimable = in_outbox_order(_due(work, micros(now), limit), now=micros(now), limit=limit)
            if claimable:
                work.execute(LEASE, (lease, micros(lease_until), [one.event.id for one in claimable]))
        return [Claim(one.event, one.attempts, lease) for one in claimable]

    def acknowledge(self, claims: Sequence[Claim]) -> None:
        ids = [claim.event.id for claim in claims]
        with self._database.write() as work:
            for lock in LOCKS:
                work.execute(lock, (ids,)).fetchall()
            carriers = [carrier(row) for row in work.execute(DELETE, (ids,)).fetchall()]
            _purge(work, set(carriers))

    def release(self, claims: Sequence[Claim]) -> None:
        with self._database.write() as work:
            work.executemany(RELEASE, [(claim.event.id, claim.lease) for claim in claims])

    def postpone(self, claim: Claim, *, due: datetime, attempts: int, reason: str | None = None) -> None:
        with self._database.write() as work:
            held = (claim.event.id, claim.lease)
            work.execute(POSTPONE, (micros(due), attempts, reason, *held))

    def dead_letter(self, claim: Claim, *, reason: str, attempts: int, now: datetime) -> None:
        with self._database.write() as work:
            held = (claim.event.id, claim.lease)
            work.execute(DEAD_LETTER, (micros(now), reason, attempts, *held))

    def dead_letters(self, *, limit: int) -> list[DeadLetter]:
        return [dead_letter(row) for row in self._database.rows(DEAD_LETTERS, (max(limit, 0),))]

    def replay(self, event_ids: Sequence[UUID] | None, *, now: datetime) -> int:
        with self._database.write() as work:
            if event_ids is None:
                return work.execute(REPLAY, (micros(now),)).rowcount
            return work.execute(f"{REPLAY} AND id = ANY (?)", (micros(now), list(event_ids))).rowcount

    def backlog(self) -> Backlog:
        ((unsent, oldest, dead_lettered),) = self._database.rows(BACKLOG)
        return Backlog(unsent, dead_lettered, None if oldest is None else moment(oldest))


LEASE = "UPDATE documents_events SET lease = ?, lease_until = ? WHERE id = ANY (?)"
LOCKS = (
    """
    SELECT id FROM documents_posts WHERE id IN (
        SELECT document_id FROM documents_events WHERE id = ANY (?) AND kind IN ('post', 'comment')
    )
    ORDER BY id FOR UPDATE
    """,
    """
    SELECT post_id, documents_comments.number FROM documents_comments JOIN documents_events
    ON document_id = post_id AND documents_events.number = documents_comments.number AND kind = 'comment'
    WHERE documents_events.id = ANY (?) ORDER BY post_id, documents_comments.number FOR UPDATE OF documents_comments
    """,
    """
    SELECT id FROM documents_products WHERE id IN (
        SELECT document_id FROM documents_events WHERE id = ANY (?) AND kind = 'product'
    )
    ORDER BY id FOR UPDATE
    """,
    "SELECT id FROM documents_events WHERE id = ANY (?) ORDER BY kind, document_id, number, seq FOR UPDATE",
)
DELETE = "DELETE FROM documents_events WHERE id = ANY (?) RETURNING kind, document_id, number"
RELEASE = "UPDATE documents_events SET lease = NULL, lease_until = NULL WHERE id = ? AND lease = ?"
POSTPONE = """
    UPDATE documents_events SET due_at = ?, attempts = ?, reason = ?, lease = NULL, lease_until = NULL
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
    UPDATE documents_events SET due_at = ?, attempts = 0, dead_lettered_at = NULL, reason = NULL
    WHERE dead_lettered_at IS NOT NULL
"""
# An event that was postponed with a reason waits from the time it is due. Usually there is none: an index is enough.
BACKLOG = """
    SELECT count(*),
        CASE WHEN EXISTS (SELECT 1 FROM documents_events WHERE dead_lettered_at IS NULL AND reason IS NOT NULL)
        THEN (
            SELECT min(CASE WHEN reason IS NULL THEN happened_at ELSE due_at END)
            FROM documents_events WHERE dead_lettered_at IS NULL
        )
        ELSE min(happened_at) END,
        (SELECT count(*) FROM documents_events WHERE dead_lettered_at IS NOT NULL)
    FROM documents_events WHERE dead_lettered_at IS NULL
"""
# Of two concurrent claimers, one gets the first event of a document and with it all later ones.
DUE = """
    WITH heads AS MATERIALIZED (
        SELECT kind, document_id, number FROM documents_events AS head
        WHERE dead_lettered_at IS NULL AND due_at <= :now AND (lease_until IS NULL OR lease_until <= :now)
        AND NOT EXISTS (
            SELECT 1 FROM documents_events AS earlier
            WHERE earlier.kind = head.kind AND earlier.document_id = head.document_id
            AND earlier.number = head.number AND earlier.seq < head.seq AND earlier.dead_lettered_at IS NULL
        )
        ORDER BY due_at, seq LIMIT :limit FOR UPDATE OF head SKIP LOCKED
    )
    SELECT kind, document_id, number, id, type, aggregate, happened_at, payload, traceparent, attempts, due_at,
        lease_until
    FROM heads JOIN documents_events USING (kind, document_id, number)
    WHERE dead_lettered_at IS NULL ORDER BY kind, document_id, number, seq FOR UPDATE OF documents_events
"""
LANDED = """
    UPDATE documents_posts SET in_flight = NULL WHERE id = ANY (?) AND in_flight IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM documents_events
        WHERE kind = 'post' AND document_id = documents_posts.id AND number = 0 AND publishes
    )
"""
PURGE = {
    "post": """
        DELETE FROM documents_posts WHERE id = :document_id AND deleted_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM documents_events WHERE kind = 'post' AND document_id = :document_id AND number = 0
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
            SELECT 1 FROM documents_events WHERE kind = 'product' AND document_id = :document_id AND number = 0
        )
    """,
}
OF_GONE_POST = "post_id = ANY (?) AND NOT EXISTS (SELECT 1 FROM documents_posts WHERE id = post_id)"
CLEAR_COMMENTS = f"""
    DELETE FROM documents_comments WHERE {OF_GONE_POST} AND NOT EXISTS (
        SELECT 1 FROM documents_events
        WHERE kind = 'comment' AND document_id = post_id AND documents_events.number = documents_comments.number
    )
"""  # noqa: S608  our own text
BURY_COMMENTS = f"""
    UPDATE documents_comments SET deleted_at = coalesce(deleted_at, 0), author_id = NULL, document = NULL
    WHERE {OF_GONE_POST}
"""  # noqa: S608  our own text


def _due(work: SqlWork, now: int, limit: int) -> Iterable[list[Waiting]]:
    rows = [waiting(row) for row in work.execute(DUE, {"now": now, "limit": limit})]
    return [list(events) for _, events in groupby(rows, key=lambda row: row.document)]


def _purge(work: SqlWork, carriers: set[SqlCarrier]) -> None:
    """Remove the tombstones whose events are all acknowledged, with a post also its comments. Posts without an
    unacknowledged publication are no longer in flight.
    """
    for kind, some in groupby(sorted(carriers), key=lambda one: one.kind):
        of_kind = list(some)
        work.executemany(PURGE[kind], [one._asdict() for one in of_kind])
        if kind == "post":
            posts = [one.document_id for one in of_kind]
            for statement in (LANDED, CLEAR_COMMENTS, BURY_COMMENTS):
                work.execute(statement, (posts,))
