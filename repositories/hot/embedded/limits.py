"""Rate limits in SQLite."""

import time
from collections.abc import Callable
from sqlite3 import Connection

from repositories.hot.encoding import text_bytes
from repositories.hot.limits_port import Limits, Rate, Verdict, judged
from repositories.sqlite import SqliteBacked, SqliteFile, path_of

_TABLES = ('CREATE TABLE IF NOT EXISTS hot_limits ("key" BLOB PRIMARY KEY, "full" REAL NOT NULL) WITHOUT ROWID',)
_FIND = 'SELECT "full" FROM hot_limits WHERE "key" = ?'
_ROWS = 10_000


class EmbeddedLimits(SqliteBacked, Limits):
    """A bucket is kept as the moment it is full. Beyond so many rows full ones go first, then those nearest to it."""

    _tables = _TABLES

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path_of(url), "cache")
        self._clock = clock

    def take(self, key: str, rate: Rate, *, spend: bool = True) -> Verdict:
        name = text_bytes(key)
        if not spend:
            return judged(_late(self._file.rows(_FIND, (name,)), self._clock()), rate, spend=False)[0]
        with self._file.write() as connection:
            now = self._clock()
            rows = connection.execute(_FIND, (name,)).fetchall()
            found, late = judged(_late(rows, now), rate, spend=True)
            if found.allowed:
                connection.execute("INSERT OR REPLACE INTO hot_limits VALUES (?, ?)", (name, now + late))
            if not rows:
                _bound(connection)
        return found


def _late(rows: list[tuple[float]], now: float) -> float:
    return max(rows[0][0] - now, 0.0) if rows else 0.0


def _bound(connection: Connection) -> None:
    [(rows,)] = connection.execute("SELECT count(*) FROM hot_limits")
    if rows > _ROWS:
        soonest = 'SELECT "key" FROM hot_limits ORDER BY "full" LIMIT ?'
        connection.execute(f'DELETE FROM hot_limits WHERE "key" IN ({soonest})', (_ROWS // 10,))  # noqa: S608  our own text
