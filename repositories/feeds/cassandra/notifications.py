"""Notifications in Cassandra, with the buckets and the retention of home timelines."""

import itertools
from datetime import datetime, timedelta
from uuid import UUID

from repositories.feeds.activity_id import activity_id, repeat_key
from repositories.feeds.cassandra.bucket_markers import Markers
from repositories.feeds.cassandra.link import Link, Row
from repositories.feeds.cassandra.pages import Pages
from repositories.feeds.cassandra.schema import LONGEST_TTL
from repositories.feeds.id_time import EPOCH, below, micros, millis, span
from repositories.feeds.layout import TimelineKind
from repositories.feeds.notifications_port import MAX_REPEATS, Notifications, StoredActivity
from repositories.feeds.port import MAX_TOMBSTONES
from repositories.feeds.retention import Clock, Retention
from repositories.feeds.tombstone_budget import TombstoneBudget
from repositories.records.feeds import Activity

# An activity that is noted more than this many milliseconds after it happened is also stored as a late one.
LATE = 2000


class CassandraNotifications(Notifications):
    def __init__(self, link: Link, kind: TimelineKind, retention: Retention, clock: Clock) -> None:
        self._link = link
        self._kind = kind
        self._retention = retention
        self._pages = Pages(link, kind, clock)
        self._markers = Markers(link, kind, retention)
        self._budget, self._repeats = TombstoneBudget(MAX_TOMBSTONES), TombstoneBudget(MAX_REPEATS)

    def note(self, owner: UUID, activity: Activity, at: datetime, noted: UUID | None = None) -> UUID:
        stored_id = activity_id(activity)
        bucket = self._kind.bucket(stored_id)
        if self._retention.keeps(stored_id) and not self._repeats.spent(repeat_key(owner, activity), bucket):
            ttl = min(LONGEST_TTL, self._retention.seconds_left(millis(stored_id)))
            self._markers.ensure([(owner, bucket)])
            row = (owner, bucket, stored_id, *_columns(activity), micros(at), ttl)
            if noted is None:
                self._link.write("notification_add", [row])
                return stored_id
            if millis(noted) - millis(stored_id) > LATE:
                self._link.write("late_add", [(owner, noted, stored_id, micros(at), ttl)])
            since = (owner, bucket, stored_id, noted, -millis(noted), ttl)
            self._link.write("notification_note", [(*row, *since)])
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
            rows = [(micros(at), owner, bucket, stored_id)]
            self._link.write("notification_remove", itertools.compress(rows, granted))

    def page(self, owner: UUID, *, before: UUID | None = None, limit: int) -> list[StoredActivity]:
        low, high = span(before, None)
        rows = self._pages.page(owner, max(low, self._retention.horizon()), high, ascending=False, limit=limit)
        return [_stored(row) for row in rows]

    def marker(self, owner: UUID) -> UUID | None:
        (rows,) = self._link.read([("read_marker", (owner,))], self._link.deadline())
        return rows[0][0] if rows else None

    def lowest_after(self, owner: UUID, marker: UUID) -> UUID:
        """An activity noted after the marker happened at most `LATE` before it, or is among the late ones."""
        (rows,) = self._link.read([("late_notifications", (owner, marker))], self._link.deadline())
        late: list[UUID] = [activity for (activity,) in rows]
        return min([below(millis(marker) - LATE), *late])

    def mark(self, owner: UUID, noted: UUID) -> None:
        # The newest timestamp wins, and of equal ones the greater value: together the highest id.
        self._link.write("read_mark", [(owner, noted, millis(noted) * 1000)])


def _columns(activity: Activity) -> tuple[object, ...]:
    return activity.kind, activity.subject, activity.actor, micros(activity.at), activity.number, activity.detail


def _stored(row: Row) -> StoredActivity:
    stored_id, kind, subject, actor, at, number, detail, noted = row
    activity = Activity(kind, subject, actor, EPOCH + timedelta(microseconds=at), number, detail)
    return StoredActivity(stored_id, activity, noted)
