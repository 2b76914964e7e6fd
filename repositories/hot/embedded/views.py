"""View counts in SQLite."""

import time
from collections.abc import Callable

from repositories.hot.sql.views import SqlViewCounts
from repositories.sql import SqlBacked
from repositories.sqlite.database import SqliteDatabase
from repositories.sqlite.file import path_of

_TABLES = (
    """CREATE TABLE IF NOT EXISTS hot_views (
        post_id BLOB NOT NULL, taken INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (taken, post_id)
    ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS hot_view_batch (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL)",
)


class EmbeddedViewCounts(SqlBacked, SqlViewCounts):
    """Unlike Redis, the file does not lose counts."""

    _tables = _TABLES

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._database = SqliteDatabase(path_of(url), "cache", clock=clock)
