"""Feeds in PostgreSQL."""

from datetime import datetime, timedelta

from repositories.feeds.layout import Layout
from repositories.feeds.postgres.database import PostgresFeedDatabase
from repositories.feeds.postgres.schema import TABLES
from repositories.feeds.retention import Clock, Retention, now
from repositories.feeds.sql.moving import SqlFeedsPlace, noted
from repositories.feeds.sql.store import SqlFeeds
from repositories.moving.postgres import PostgresEngine
from repositories.sql import SqlBacked

SWEEP_EVERY = timedelta(hours=1)


class PostgresFeeds(SqlBacked, SqlFeeds):
    _tables = TABLES

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta,
        pool: int,
        retention: timedelta,
        layout: Layout = Layout(),  # noqa: B008 - frozen
        clock: Clock = now,
    ) -> None:
        kept = Retention(retention, clock)
        database = PostgresFeedDatabase(url, timeout=timeout, pool=pool, days=layout.home_days, retention=kept)
        self._database = database.database
        self.place = SqlFeedsPlace(database.database, database, kept, PostgresEngine(), noted("{}"), "TRUNCATE {}")
        self._partitions = list(database.partitions.values())
        self._clock = clock
        self._next_sweep: datetime | None = None
        super().__init__(database, layout, kept)

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        done = super().migrate(dry_run=dry_run)
        new = [name for each in self._partitions for name in (each.due() if dry_run else each.make_ready())]
        return [*done, *(f"feeds: partition {name}" for name in new)]

    def sweep(self) -> int:
        now = self._clock()
        if self._next_sweep is not None and now < self._next_sweep:
            return 0
        done = [name for each in self._partitions for name in (*each.make_ready(), *each.drop_expired())]
        self._next_sweep = now + SWEEP_EVERY
        return len(done)
