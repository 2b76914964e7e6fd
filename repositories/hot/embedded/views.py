"""View counts in SQLite."""

import time
from collections.abc import Callable

from repositories.hot.embedded import schema
from repositories.hot.sql.views import SqlViewCounts
from repositories.sql import SqlBacked
from repositories.sqlite.database import SqliteDatabase
from repositories.sqlite.file import path_of


class EmbeddedViewCounts(SqlBacked, SqlViewCounts):
    """Unlike Redis, the file does not lose counts."""

    _tables = schema.VIEWS

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._database = SqliteDatabase(path_of(url), "cache", clock=clock)
