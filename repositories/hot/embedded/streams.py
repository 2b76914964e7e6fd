"""The live streams in SQLite: heads and events in two tables."""

import time
from collections.abc import Callable, Collection, Sequence
from sqlite3 import Connection
from uuid import UUID

from repositories.hot.encoding import text_bytes
from repositories.hot.streams_port import (
    KEPT,
    LISTENING,
    Delta,
    LiveEvent,
    Position,
    Streams,
    gone,
    lost,
    new_epoch,
)
from repositories.sqlite import SqliteBacked, SqliteFile, path_of

_TABLES = (
    """CREATE TABLE IF NOT EXISTS hot_streams (
        account_id BLOB PRIMARY KEY, epoch TEXT NOT NULL, number INTEGER NOT NULL, expires_at REAL NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS hot_streams_expires_at ON hot_streams (expires_at)",
    """CREATE TABLE IF NOT EXISTS hot_stream_events (
        account_id BLOB NOT NULL REFERENCES hot_streams ON DELETE CASCADE, number INTEGER NOT NULL,
        key TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (account_id, number), UNIQUE (account_id, key)
    ) WITHOUT ROWID""",
)
_CHUNK = 500


class EmbeddedStreams(SqliteBacked, Streams):
    """`clock` gives seconds."""

    _tables = _TABLES

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path_of(url), "cache")
        self._clock = clock

    def listen(self, account_id: UUID) -> Position:
        now = self._clock()
        sql = """INSERT INTO hot_streams VALUES (?, ?, 0, ?) ON CONFLICT (account_id)
            DO UPDATE SET expires_at = excluded.expires_at RETURNING epoch, number"""
        with self._file.write() as connection:
            connection.execute("DELETE FROM hot_streams WHERE expires_at <= ?", (now,))
            row = (account_id.bytes, new_epoch(), now + LISTENING.total_seconds())
            [(epoch, number)] = connection.execute(sql, row).fetchall()
        return Position(epoch, number)

    def listeners(self, *, after: UUID | None, limit: int) -> list[UUID]:
        sql = """SELECT account_id FROM hot_streams WHERE account_id > ? AND expires_at > ?
            ORDER BY account_id LIMIT ?"""
        rows = self._file.rows(sql, (after.bytes if after else b"", self._clock(), limit))
        return [UUID(bytes=raw) for (raw,) in rows]

    def append(self, account_ids: Collection[UUID], event: LiveEvent) -> None:
        text_bytes(event.key + event.name)
        if not self._heads(account_ids):
            return
        with self._file.write() as connection:
            for account_id, end in self._heads(account_ids).items():
                _add(connection, account_id, end.number + 1, event)

    def since(self, positions: Sequence[tuple[UUID, Position]], *, limit: int) -> list[Delta]:
        heads = self._heads([account_id for account_id, _ in positions])
        return [self._delta(account_id, heads.get(account_id), at, limit) for account_id, at in positions]

    def _delta(self, account_id: UUID, end: Position | None, at: Position, limit: int) -> Delta:
        if end is None:
            return gone()
        if end == at:
            return Delta(end, (), lost=False)
        if end.epoch != at.epoch or end.number < at.number:
            return lost(end)
        sql = """SELECT number, key, name, data FROM hot_stream_events NATURAL JOIN
            (SELECT account_id FROM hot_streams WHERE account_id = ? AND epoch = ?)
            WHERE number > ? ORDER BY number LIMIT ?"""
        rows = self._file.rows(sql, (account_id.bytes, at.epoch, at.number, limit))
        if not rows or rows[0][0] != at.number + 1:
            return lost(end)
        events = tuple(LiveEvent(key, name, data) for _, key, name, data in rows)
        return Delta(Position(at.epoch, rows[-1][0]), events, lost=False)

    def _heads(self, account_ids: Collection[UUID]) -> dict[UUID, Position]:
        """The ends of the streams of those who listen."""
        ids = [one.bytes for one in dict.fromkeys(account_ids)]
        found: dict[UUID, Position] = {}
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            sql = f"SELECT account_id, epoch, number FROM hot_streams WHERE account_id IN ({marks}) AND expires_at > ?"  # noqa: S608  marks only
            for raw, epoch, number in self._file.rows(sql, (*chunk, self._clock())):
                found[UUID(bytes=raw)] = Position(epoch, number)
        return found


def _add(connection: Connection, account_id: UUID, number: int, event: LiveEvent) -> None:
    row = (account_id.bytes, number, event.key, event.name, event.data)
    added = connection.execute("INSERT OR IGNORE INTO hot_stream_events VALUES (?, ?, ?, ?, ?)", row)
    if added.rowcount:
        connection.execute("UPDATE hot_streams SET number = ? WHERE account_id = ?", (number, account_id.bytes))
        trim = "DELETE FROM hot_stream_events WHERE account_id = ? AND number <= ?"
        connection.execute(trim, (account_id.bytes, number - KEPT))
