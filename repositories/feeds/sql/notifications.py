"""Notifications in an SQL database, with the semantics of Cassandra's timestamps; see `statements`."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from repositories.feeds.activity_id import activity_id, repeat_key
from repositories.feeds.id_time import EPOCH, micros, millis, span
from repositories.feeds.layout import TimelineKind
from repositories.feeds.notifications_port import MAX_REPEATS, Notifications, StoredActivity
from repositories.feeds.port import MAX_TOMBSTONES
from repositories.feeds.retention import Retention
from repositories.feeds.sql.database import FeedDatabase
from repositories.feeds.sql.statements import (
    NEVER,
    NOTIFICATION_ADD,
    NOTIFICATION_LOWEST,
    NOTIFICATION_PAGE,
    READ_MARK,
    READ_MARKER,
)
from repositories.feeds.tombstone_budget import TombstoneBudget
from repositories.records.feeds import Activity
from repositories.sql import Row


class SqlNotifications(Notifications):
    def __init__(self, database: FeedDatabase, kind: TimelineKind, retention: Retention) -> None:
        self._feeds = database
        self._kind = kind
        self._retention = retention
        self._budget, self._repeats = TombstoneBudget(MAX_TOMBSTONES), TombstoneBudget(MAX_REPEATS)

    def note(self, owner: UUID, activity: Activity, at: datetime, noted: UUID | None = None) -> UUID:
        stored_id = activity_id(activity)
        bucket = self._kind.bucket(stored_id)
        if self._retention.keeps(stored_id) and not self._repeats.spent(repeat_key(owner, activity), bucket):
            self._feeds.upsert(NOTIFICATION_ADD, [self._row(owner, stored_id, activity, noted, micros(at), NEVER)])
        return stored_id

    def withdraw(self, owner: UUID, activity: Activity, at: datetime) -> None:
        stored_id = activity_id(activity)
        bucket = self._kind.bucket(stored_id)
        if not self._retention.keeps(stored_id):
            return
        with (
            self._budget.spend([(owner, bucket)]) as [granted],
            self._repeats.spend([(repeat_key(owner, activity), bucket)]),
        ):
            if granted:
                self._feeds.upsert(NOTIFICATION_ADD, [self._row(owner, stored_id, activity, None, NEVER, micros(at))])

    def page(self, owner: UUID, *, before: UUID | None = None, limit: int) -> list[StoredActivity]:
        low, high = span(before, None)
        key = self._feeds.key
        values = {"key": key(owner), "low": key(max(low, self._retention.horizon())), "high": key(high)}
        rows = self._feeds.rows(NOTIFICATION_PAGE, values | {"limit": max(limit, 0)})
        return [self._stored(*row) for row in rows]

    def marker(self, owner: UUID) -> UUID | None:
        rows = self._feeds.rows(READ_MARKER, (self._feeds.key(owner),))
        return self._feeds.uuid(rows[0][0]) if rows else None

    def lowest_after(self, owner: UUID, marker: UUID) -> UUID:
        rows = self._feeds.rows(NOTIFICATION_LOWEST, (self._feeds.key(owner), self._feeds.key(marker)))
        return min(marker, self._feeds.uuid(rows[0][0])) if rows else marker

    def mark(self, owner: UUID, noted: UUID) -> None:
        millis(noted)
        self._feeds.run((READ_MARK, (self._feeds.key(owner), self._feeds.key(noted))))

    def _row(
        self, owner: UUID, stored_id: UUID, activity: Activity, noted: UUID | None, written: int, removed: int
    ) -> Row:
        key = self._feeds.key
        return (
            key(owner),
            key(stored_id),
            activity.kind,
            key(activity.subject),
            key(activity.actor),
            micros(activity.at),
            activity.number,
            activity.detail,
            key(noted) if noted else None,
            written,
            removed,
        )

    def _stored(
        self, stored_id: Any, kind: Any, subject: Any, actor: Any, at: int, number: int, detail: str, noted: Any
    ) -> StoredActivity:
        uuid = self._feeds.uuid
        activity = Activity(kind, uuid(subject), uuid(actor), EPOCH + timedelta(microseconds=at), number, detail)
        return StoredActivity(uuid(stored_id), activity, uuid(noted) if noted else None)
