"""Feeds in SQLite."""

from datetime import timedelta

from repositories.feeds.embedded.database import SqliteFeedDatabase
from repositories.feeds.embedded.schema import CHANGES, TABLES
from repositories.feeds.layout import Layout
from repositories.feeds.retention import Clock, Retention, now
from repositories.feeds.sql.moving import SqlFeedsPlace, noted
from repositories.feeds.sql.store import SqlFeeds
from repositories.moving.sqlite import SqliteEngine
from repositories.sql import SqlBacked
from repositories.sqlite.file import path_of


class EmbeddedFeeds(SqlBacked, SqlFeeds):
    _tables = TABLES
    _changes = CHANGES

    def __init__(
        self,
        url: str,
        *,
        retention: timedelta,
        layout: Layout = Layout(),  # noqa: B008 - frozen
        clock: Clock = now,
    ) -> None:
        kept = Retention(retention, clock)
        database = SqliteFeedDatabase(path_of(url), kept)
        self._database = database.file
        path = path_of(url)
        self.place = SqlFeedsPlace(
            database.file, database, kept, SqliteEngine(path.exists), noted("hex({})"), "DELETE FROM {}"
        )
        super().__init__(database, layout, kept)
