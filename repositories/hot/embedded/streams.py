"""The live streams in SQLite."""

import time
from collections.abc import Callable, Collection, Sequence
from uuid import UUID

from repositories.batched import batched
from repositories.hot.embedded import schema
from repositories.hot.sql.streams import Numbered, SqlStreams
from repositories.hot.streams_port import KEPT, LiveEvent, Position
from repositories.sql import SqlBacked
from repositories.sqlite.database import SqliteDatabase
from repositories.sqlite.file import path_of

_CHUNK = 500
_EVENTS = """SELECT number, key, name, data FROM hot_stream_events NATURAL JOIN
    (SELECT account_id FROM hot_streams WHERE account_id = ? AND epoch = ?)
    WHERE number > ? ORDER BY number LIMIT ?"""


class EmbeddedStreams(SqlBacked, SqlStreams):
    _tables = schema.STREAMS

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._database = SqliteDatabase(path_of(url), "cache", clock=clock)

    def _heads(self, account_ids: Collection[UUID]) -> dict[UUID, Position]:
        found: dict[UUID, Position] = {}
        for chunk in batched((one.bytes for one in account_ids), _CHUNK):
            marks = ",".join("?" * len(chunk))
            sql = f"""SELECT account_id, epoch, number FROM hot_streams
                WHERE account_id IN ({marks}) AND expires_at > now_seconds()"""  # noqa: S608  marks only
            for raw, epoch, number in self._database.rows(sql, chunk):
                found[UUID(bytes=raw)] = Position(epoch, number)
        return found

    def _append(self, account_ids: Sequence[UUID], event: LiveEvent) -> None:
        if not self._heads(account_ids):
            return
        with self._database.write() as work:
            for account_id, end in self._heads(account_ids).items():
                own, number = account_id.bytes, end.number + 1
                row = (own, number, event.key, event.name, event.data)
                if work.execute("INSERT OR IGNORE INTO hot_stream_events VALUES (?, ?, ?, ?, ?)", row).rowcount:
                    work.execute("UPDATE hot_streams SET number = ? WHERE account_id = ?", (number, own))
                    trim = "DELETE FROM hot_stream_events WHERE account_id = ? AND number <= ?"
                    work.execute(trim, (own, number - KEPT))

    def _events(self, behind: Sequence[tuple[UUID, Position]], limit: int) -> list[Numbered]:
        found = (self._database.rows(_EVENTS, (who.bytes, at.epoch, at.number, limit)) for who, at in behind)
        return [[(number, LiveEvent(key, name, data)) for number, key, name, data in rows] for rows in found]
