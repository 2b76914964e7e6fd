"""Notifications in SQLite, by the same rules as in Cassandra."""

import itertools
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from repositories.feed_records import Activity
from repositories.feeds.activity import activity_id, repeat_key
from repositories.feeds.age import EPOCH, Retention, micros, millis, span
from repositories.feeds.layout import TimelineKind
from repositories.feeds.notifications_port import REPEAT_BUDGET, Notifications, StoredActivity
from repositories.feeds.port import TOMBSTONE_BUDGET
from repositories.feeds.tombstone_budget import TombstoneBudget
from repositories.sqlite import SqliteFile

NEVER = -(1 << 63)
# Activities past the retention that one write removes, at most.
PRUNED = 100

NOTIFICATION_TABLES = (
    """CREATE TABLE IF NOT EXISTS feeds_notifications (
        owner BLOB NOT NULL, id BLOB NOT NULL, kind TEXT NOT NULL, subject BLOB NOT NULL, actor BLOB NOT NULL,
        at_us INTEGER NOT NULL, number INTEGER NOT NULL, detail TEXT NOT NULL,
        written INTEGER NOT NULL, removed INTEGER NOT NULL,
        PRIMARY KEY (owner, id)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS feeds_notifications_age ON feeds_notifications (id)",
    "CREATE TABLE IF NOT EXISTS feeds_read (owner BLOB PRIMARY KEY, id BLOB NOT NULL) WITHOUT ROWID",
)

PUT = """INSERT INTO feeds_notifications
(owner, id, kind, subject, actor, at_us, number, detail, written, removed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (owner, id) DO UPDATE SET
at_us = iif(excluded.written > written, excluded.at_us, at_us),
detail = iif(excluded.written > written, excluded.detail, detail),
written = max(written, excluded.written), removed = max(removed, excluded.removed)"""
PRUNE = """DELETE FROM feeds_notifications WHERE (owner, id) IN
(SELECT owner, id FROM feeds_notifications WHERE id < ? LIMIT ?)"""
PAGE = """SELECT id, kind, subject, actor, at_us, number, detail FROM feeds_notifications
WHERE owner = ? AND id > ? AND id < ? AND written > removed ORDER BY id DESC LIMIT ?"""
MARK = """INSERT INTO feeds_read (owner, id) VALUES (?, ?)
ON CONFLICT (owner) DO UPDATE SET id = excluded.id WHERE excluded.id > id"""


class EmbeddedNotifications(Notifications):
    def __init__(self, file: SqliteFile, kind: TimelineKind, retention: Retention) -> None:
        self._file = file
        self._kind = kind
        self._retention = retention
        self._budget, self._repeats = TombstoneBudget(TOMBSTONE_BUDGET), TombstoneBudget(REPEAT_BUDGET)

    def note(self, owner: UUID, activity: Activity, at: datetime) -> UUID:
        noted = activity_id(activity)
        bucket = self._kind.bucket(noted)
        if self._retention.keeps(noted) and not self._repeats.spent(repeat_key(owner, activity), bucket):
            self._put([(owner.bytes, noted.bytes, *_columns(activity), micros(at), NEVER)])
        return noted

    def withdraw(self, owner: UUID, activity: Activity, at: datetime) -> None:
        noted = activity_id(activity)
        bucket = self._kind.bucket(noted)
        if not self._retention.keeps(noted):
            return
        with (
            self._budget.spend([(owner, bucket)]) as granted,
            self._repeats.spend([(repeat_key(owner, activity), bucket)]),
        ):
            row = (owner.bytes, noted.bytes, *_columns(activity), NEVER, micros(at))
            self._put(list(itertools.compress([row], granted)))

    def page(self, owner: UUID, *, before: UUID | None = None, limit: int) -> list[StoredActivity]:
        low, high = span(before, None)
        low = max(low, self._retention.horizon())
        return [_noted(*row) for row in self._file.rows(PAGE, (owner.bytes, low.bytes, high.bytes, max(limit, 0)))]

    def marker(self, owner: UUID) -> UUID | None:
        rows = self._file.rows("SELECT id FROM feeds_read WHERE owner = ?", (owner.bytes,))
        return UUID(bytes=rows[0][0]) if rows else None

    def mark(self, owner: UUID, activity_id: UUID) -> None:
        millis(activity_id)
        with self._file.write() as connection:
            connection.execute(MARK, (owner.bytes, activity_id.bytes))

    def _put(self, rows: list[tuple[Any, ...]]) -> None:
        with self._file.write() as connection:
            connection.executemany(PUT, rows)
            connection.execute(PRUNE, (self._retention.horizon().bytes, PRUNED))


def _columns(activity: Activity) -> tuple[Any, ...]:
    return (
        activity.kind,
        activity.subject.bytes,
        activity.actor.bytes,
        micros(activity.at),
        activity.number,
        activity.detail,
    )


def _noted(noted: bytes, kind: Any, subject: bytes, actor: bytes, at: int, number: int, detail: str) -> StoredActivity:
    moment = EPOCH + timedelta(microseconds=at)
    return StoredActivity(
        UUID(bytes=noted), Activity(kind, UUID(bytes=subject), UUID(bytes=actor), moment, number, detail)
    )
