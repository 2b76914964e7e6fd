"""Sessions in SQLite."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from repositories.hot.embedded import schema
from repositories.hot.sql.moving import SqlSessionsPlace, noted
from repositories.hot.sql.sessions import SqlSessions
from repositories.moving.sqlite import SqliteEngine
from repositories.sql import SqlBacked
from repositories.sqlite.database import SqliteDatabase
from repositories.sqlite.file import path_of


class EmbeddedSessions(SqlBacked, SqlSessions):
    _tables = schema.SESSIONS

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time, seen: bool = False) -> None:
        path = path_of(url)
        self._database = SqliteDatabase(path, "sessions", clock=clock)
        self._seen = seen
        keys = noted("hex({})")
        self.place = SqlSessionsPlace(self._database, SqliteEngine(path.exists), keys, lambda: datetime.now(UTC))
