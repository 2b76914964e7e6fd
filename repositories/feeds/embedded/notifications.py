"""Notifications in SQLite, with the semantics of Cassandra's timestamps; see `schema`."""

import itertools
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from repositories.feed_records import Activity
from repositories.feeds.activity import activity_id, repeat_key
from repositories.feeds.embedded.schema import (
    NEVER,
    NOTIFICATION_ADD,
    NOTIFICATION_LOWEST,
    NOTIFICATION_PAGE,
    NOTIFICATION_PRUNE,
    READ_MARK,
    READ_MARKER,
)
from repositories.feeds.id_time import EPOCH, micros, millis, span
from repositories.feeds.layout import TimelineKind
from repositories.feeds.notifications_port import MAX_REPEATS, Notifications, StoredActivity
from repositories.feeds.port import MAX_TOMBSTONES
from repositories.feeds.retention import Retention
from repositories.feeds.tombstone_budget import TombstoneBudget
from repositories.sqlite import SqliteFile

# Expired activities that one write deletes, at most.
PRUNED = 100


class EmbeddedNotifications(Notifications):
    def __init__(self, file: SqliteFile, kind: TimelineKind, retention: Retention) -> None:
        self._file = file
        self._kind = kind
        self._retention = retention
        self._budget, self._repeats = TombstoneBudget(MAX_TOMBSTONES), TombstoneBudget(MAX_REPEATS)

    def note(self, owner: UUID, activity: Activity, at: datetime, noted: UUID | None = None) -> UUID:
        stored_id = activity_id(activity)
        bucket = self._kind.bucket(stored_id)
        if self._retention.keeps(stored_id) and not self._repeats.spent(repeat_key(owner, activity), bucket):
            self._put([(owner.bytes, stored_id.bytes, *_columns(activity), noted and noted.bytes, micros(at), NEVER)])
        return stored_id

    def withdraw(self, owner: UUID, activity: Activity, at: datetime) -> None:
        stored_id = activity_id(activity)
        bucket = self._kind.bucket(stored_id)
        if not self._retention.keeps(stored_id):
            return
        with (
            self._budget.spend([(owner, bucket)]) as granted,
            self._repeats.spend([(repeat_key(owner, activity), bucket)]),
        ):
            row = (owner.bytes, stored_id.bytes, *_columns(activity), None, NEVER, micros(at))
            self._put(list(itertools.compress([row], granted)))

    def page(self, owner: UUID, *, before: UUID | None = None, limit: int) -> list[StoredActivity]:
        low, high = span(before, None)
        low = max(low, self._retention.horizon())
        rows = self._file.rows(NOTIFICATION_PAGE, (owner.bytes, low.bytes, high.bytes, max(limit, 0)))
        return [_stored(*row) for row in rows]

    def marker(self, owner: UUID) -> UUID | None:
        rows = self._file.rows(READ_MARKER, (owner.bytes,))
        return UUID(bytes=rows[0][0]) if rows else None

    def lowest_after(self, owner: UUID, marker: UUID) -> UUID:
        [(lowest,)] = self._file.rows(NOTIFICATION_LOWEST, (owner.bytes, marker.bytes))
        return min(marker, UUID(bytes=lowest)) if lowest else marker

    def mark(self, owner: UUID, noted: UUID) -> None:
        millis(noted)
        with self._file.write() as connection:
            connection.execute(READ_MARK, (owner.bytes, noted.bytes))

    def _put(self, rows: list[tuple[Any, ...]]) -> None:
        with self._file.write() as connection:
            connection.executemany(NOTIFICATION_ADD, rows)
            connection.execute(NOTIFICATION_PRUNE, (self._retention.horizon().bytes, PRUNED))


def _columns(activity: Activity) -> tuple[Any, ...]:
    return (
        activity.kind,
        activity.subject.bytes,
        activity.actor.bytes,
        micros(activity.at),
        activity.number,
        activity.detail,
    )


def _stored(
    stored_id: bytes, kind: Any, subject: bytes, actor: bytes, at: int, number: int, detail: str, noted: bytes | None
) -> StoredActivity:
    moment = EPOCH + timedelta(microseconds=at)
    activity = Activity(kind, UUID(bytes=subject), UUID(bytes=actor), moment, number, detail)
    return StoredActivity(UUID(bytes=stored_id), activity, UUID(bytes=noted) if noted else None)
