"""View counts in an SQL database."""

from collections.abc import Mapping
from uuid import UUID

from repositories.hot.views_port import ViewBatch, ViewCounts
from repositories.sql import SqlDatabase, SqlWork

_OPEN = 0
_ADD = """INSERT INTO hot_views (post_id, taken, n) VALUES (?, 0, ?)
    ON CONFLICT (taken, post_id) DO UPDATE SET n = hot_views.n + excluded.n"""
# The number of the last batch, in a row that this locks: of two concurrent takers the second waits. The time is in
# microseconds.
_LAST = """INSERT INTO hot_view_batch VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET number = hot_view_batch.number
    RETURNING number, CAST(now_seconds() * 1000000 AS BIGINT)"""
# The subquery locks rows in the same order as `add`, since otherwise the two could deadlock.
_MOVE = """UPDATE hot_views SET taken = ? WHERE taken = 0 AND post_id IN
    (SELECT post_id FROM hot_views WHERE taken = 0 ORDER BY post_id LIMIT ? FOR UPDATE)"""


class SqlViewCounts(ViewCounts):
    """Open counts have `taken` 0; counts of the batch that was taken have its number."""

    _database: SqlDatabase

    def add(self, counts: Mapping[UUID, int]) -> None:
        if counts:
            # In the same order everywhere, since otherwise two transactions could deadlock.
            rows = sorted((post_id.bytes, n) for post_id, n in counts.items())
            with self._database.write() as work:
                work.executemany(_ADD, rows)

    def take(self, limit: int) -> ViewBatch | None:
        with self._database.write() as work:
            last, now = work.execute(_LAST).fetchone()
            counts = _counts(work, last) if last else {}
            if counts:
                return ViewBatch(last, counts)
            number = max(now, last + 1)
            if not work.execute(_MOVE, (number, limit)).rowcount:
                return None
            work.execute("UPDATE hot_view_batch SET number = ?", (number,))
            return ViewBatch(number, _counts(work, number))

    def done(self, number: int) -> None:
        if number != _OPEN:
            self._database.change("DELETE FROM hot_views WHERE taken = ? RETURNING 1", (number,))


def _counts(work: SqlWork, number: int) -> dict[UUID, int]:
    rows = work.execute("SELECT post_id, n FROM hot_views WHERE taken = ?", (number,))
    return {UUID(bytes=post_id): n for post_id, n in rows}
