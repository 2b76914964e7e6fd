"""View counts in SQLite."""

import time
from collections.abc import Callable, Mapping
from sqlite3 import Connection
from uuid import UUID

from repositories.hot.views_port import ViewBatch, ViewCounts
from repositories.sqlite import SqliteBacked, SqliteFile, path_of

_TABLES = (
    """CREATE TABLE IF NOT EXISTS hot_views (
        post_id BLOB NOT NULL, taken INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (taken, post_id)
    ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS hot_view_batch (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL)",
)
_OPEN = 0


class EmbeddedViewCounts(SqliteBacked, ViewCounts):
    """Open counts have `taken` 0, those of the batch under way its number. Unlike Redis, the file loses nothing."""

    _tables = _TABLES

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path_of(url), "cache")
        self._clock = clock

    def add(self, counts: Mapping[UUID, int]) -> None:
        if counts:
            sql = """INSERT INTO hot_views (post_id, taken, n) VALUES (?, 0, ?)
                ON CONFLICT (taken, post_id) DO UPDATE SET n = n + excluded.n"""
            with self._file.write() as connection:
                connection.executemany(sql, [(post_id.bytes, n) for post_id, n in counts.items()])

    def take(self, limit: int) -> ViewBatch | None:
        with self._file.write() as connection:
            [(last,)] = connection.execute("SELECT coalesce(max(number), 0) FROM hot_view_batch")
            counts = _counts(connection, last) if last else {}
            if counts:
                return ViewBatch(last, counts)
            number = max(int(self._clock() * 1_000_000), last + 1)
            some = "SELECT post_id FROM hot_views WHERE taken = 0 LIMIT ?"
            move = f"UPDATE hot_views SET taken = ? WHERE taken = 0 AND post_id IN ({some})"  # noqa: S608  our own text
            if not connection.execute(move, (number, limit)).rowcount:
                return None
            connection.execute("INSERT OR REPLACE INTO hot_view_batch VALUES (1, ?)", (number,))
            return ViewBatch(number, _counts(connection, number))

    def done(self, number: int) -> None:
        if number != _OPEN:
            with self._file.write() as connection:
                connection.execute("DELETE FROM hot_views WHERE taken = ?", (number,))


def _counts(connection: Connection, number: int) -> dict[UUID, int]:
    rows = connection.execute("SELECT post_id, n FROM hot_views WHERE taken = ?", (number,))
    return {UUID(bytes=post_id): n for post_id, n in rows}
