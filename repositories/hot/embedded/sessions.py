"""Sessions in SQLite."""

import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from repositories.hot.encoding import live_session, live_sessions, session_bytes, session_seconds
from repositories.hot.port import SessionStore
from repositories.records import Session
from repositories.seen import KEPT_SECONDS, Positions
from repositories.sqlite import SqliteBacked, SqliteFile, path_of

_TABLES = (
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


class EmbeddedSessions(SqliteBacked, SessionStore):
    """As in Redis: a session is kept for its own length (`expires_at - created_at`) and an hour, counted from
    `add` by `clock`; whether it is live is decided by the caller's `now`.
    """

    _tables = _TABLES

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time, seen: bool = False) -> None:
        self._file = SqliteFile(path_of(url), "sessions")
        self._clock = clock
        self._seen = seen

    def add(self, session: Session, digest: bytes) -> None:
        now, record = self._clock(), session_bytes(session)
        row = (digest, session.account_id.bytes, session.id.bytes, record, now + session_seconds(session))
        with self._file.write() as connection:
            connection.execute("DELETE FROM hot_sessions WHERE forget_at <= ?", (now,))
            connection.execute("INSERT OR REPLACE INTO hot_sessions VALUES (?, ?, ?, ?, ?)", row)

    def find(self, digest: bytes, *, now: datetime) -> Session | None:
        sql = "SELECT record FROM hot_sessions WHERE digest = ? AND forget_at > ?"
        rows = self._file.rows(sql, (digest, self._clock()))
        found = live_session(rows[0][0], now) if rows else None
        if found is None or not self._seen:
            return found
        sql = "SELECT store, position FROM hot_seen WHERE account_id = ? AND forget_at > ?"
        return replace(found, seen=tuple(self._file.rows(sql, (found.account_id.bytes, self._clock()))))

    def note_seen(self, account_id: UUID, positions: Positions) -> None:
        until = self._clock() + KEPT_SECONDS
        sql = """INSERT INTO hot_seen VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
            SET position = max(position, excluded.position), forget_at = excluded.forget_at"""
        with self._file.write() as connection:
            connection.execute("DELETE FROM hot_seen WHERE forget_at <= ?", (self._clock(),))
            connection.executemany(sql, [(account_id.bytes, *one, until) for one in positions.items()])

    def note_use(self, session: Session, digest: bytes) -> None:
        with self._file.write() as connection:
            sql = "UPDATE hot_sessions SET record = ? WHERE digest = ?"
            connection.execute(sql, (session_bytes(session), digest))

    def of_account(self, account_id: UUID, *, now: datetime) -> list[Session]:
        sql = "SELECT record FROM hot_sessions WHERE account_id = ? AND forget_at > ?"
        rows = self._file.rows(sql, (account_id.bytes, self._clock()))
        return live_sessions([record for (record,) in rows], now)

    def end(self, account_id: UUID, session_id: UUID) -> bool:
        sql = "DELETE FROM hot_sessions WHERE account_id = ? AND id = ? AND forget_at > ?"
        with self._file.write() as connection:
            done = connection.execute(sql, (account_id.bytes, session_id.bytes, self._clock()))
            return done.rowcount > 0

    def end_all(self, account_id: UUID, *, keep: UUID | None) -> None:
        sql = "DELETE FROM hot_sessions WHERE account_id = ? AND id IS NOT ?"
        with self._file.write() as connection:
            connection.execute(sql, (account_id.bytes, keep and keep.bytes))
