"""The SQLite database of the feeds. Ids are stored as their 16 bytes."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from repositories.feeds.embedded.schema import PRUNE
from repositories.feeds.retention import Retention
from repositories.feeds.sql.database import FeedDatabase
from repositories.feeds.sql.statements import Upsert
from repositories.sql import Parameters, Row
from repositories.sqlite.database import SqliteDatabase


class SqliteFeedDatabase(FeedDatabase):
    def __init__(self, path: Path, retention: Retention) -> None:
        self.file = SqliteDatabase(path, "feeds")
        self._retention = retention

    def key(self, of: UUID) -> bytes:
        return of.bytes

    def uuid(self, key: bytes) -> UUID:
        return UUID(bytes=key)

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        return self.file.rows(sql, parameters)

    def run(self, *calls: tuple[str, Parameters]) -> None:
        with self.file.write() as work:
            for sql, parameters in calls:
                work.execute(sql, parameters)

    def upsert(self, statement: Upsert, rows: Sequence[Row]) -> None:
        with self.file.write() as work:
            work.executemany(statement.by_values, rows)
            if statement.table in PRUNE:
                prune, most = PRUNE[statement.table]
                work.execute(prune, (self._retention.horizon().bytes, most))
