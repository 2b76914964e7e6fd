"""Sessions in SQLite."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from repositories.hot.sql.moving import SqlSessionsPlace, noted
from repositories.hot.sql.sessions import SqlSessions
from repositories.moving.gate import MAKE_MARKS
from repositories.moving.sqlite import SqliteEngine
from repositories.sql import SqlBacked
from repositories.sqlite.database import SqliteDatabase
from repositories.sqlite.file import path_of

_TABLES = (
    MAKE_MARKS,
    """CREATE TABLE IF NOT EXISTS hot_sessions (
        digest BLOB PRIMARY KEY, account_id BLOB NOT NULL, id BLOB NOT NULL, record BLOB NOT NULL,
        forget_at REAL NOT NULL, UNIQUE (account_id, id)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS hot_sessions_forget_at ON hot_sessions (forget_at)",
    """CREATE TABLE IF NOT EXISTS hot_seen (
        account_id BLOB NOT NULL, store TEXT NOT NULL, position TEXT NOT NULL, forget_at REAL NOT NULL,
        PRIMARY KEY (account_id, store)
    ) WITHOUT ROWID""",
)


class EmbeddedSessions(SqlBacked, SqlSessions):
    _tables = _TABLES

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time, seen: bool = False) -> None:
        path = path_of(url)
        self._database = SqliteDatabase(path, "sessions", clock=clock)
        self._seen = seen
        keys = noted("hex({})")
        self.place = SqlSessionsPlace(self._database, SqliteEngine(path.exists), keys, lambda: datetime.now(UTC))
