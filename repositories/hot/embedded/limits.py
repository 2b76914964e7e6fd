"""Rate limits in SQLite."""

import time
from collections.abc import Callable

from repositories.hot.embedded import schema
from repositories.hot.sql.limits import SqlLimits
from repositories.sql import SqlBacked
from repositories.sqlite.database import SqliteDatabase
from repositories.sqlite.file import path_of

_ROWS = 10_000
_BOUND = f"""DELETE FROM hot_limits WHERE "key" IN (SELECT "key" FROM hot_limits ORDER BY "full"
    LIMIT max(0, (SELECT count(*) FROM hot_limits) - {_ROWS})) RETURNING 1"""  # noqa: S608  our own text


class EmbeddedLimits(SqlBacked, SqlLimits):
    """Keeps at most `_ROWS` buckets; those that are full soonest are removed first."""

    _tables = schema.LIMITS

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._database = SqliteDatabase(path_of(url), "cache", clock=clock)
        super().__init__()

    def _forget(self) -> None:
        super()._forget()
        self._database.change(_BOUND)
