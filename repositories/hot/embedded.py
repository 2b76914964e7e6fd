"""The embedded twins of both Redis stores, in one SQLite file."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from sqlite3 import Connection
from uuid import UUID

from repositories.hot.encoding import (
    PERMIT_SECONDS,
    live_session,
    live_sessions,
    new_permit,
    session_bytes,
    session_seconds,
    spread,
)
from repositories.hot.port import Cache, Sessions, Slot
from repositories.records import Session
from repositories.sqlite import SqliteFile, path_of

_SESSION_TABLES = (
    """CREATE TABLE IF NOT EXISTS hot_sessions (
        digest BLOB PRIMARY KEY, account_id BLOB NOT NULL, id BLOB NOT NULL, record BLOB NOT NULL,
        forget_at REAL NOT NULL, UNIQUE (account_id, id)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS hot_sessions_forget_at ON hot_sessions (forget_at)",
)
_CACHE_TABLES = (
    """CREATE TABLE IF NOT EXISTS hot_values (
        key TEXT PRIMARY KEY, value BLOB NOT NULL, expires_at REAL NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS hot_values_expires_at ON hot_values (expires_at)",
    """CREATE TABLE IF NOT EXISTS hot_permits (
        key TEXT PRIMARY KEY, permit TEXT NOT NULL, expires_at REAL NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS hot_permits_expires_at ON hot_permits (expires_at)",
)
_CHUNK = 500


class EmbeddedSessions(Sessions):
    """As in Redis: a session is kept for its own length (`expires_at - created_at`) and an hour, counted from
    `add` by `clock`; whether it is live is decided by the caller's `now`.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path_of(url), "sessions")
        self._clock = clock

    def add(self, session: Session, digest: bytes) -> None:
        now, record = self._clock(), session_bytes(session)
        row = (digest, session.account_id.bytes, session.id.bytes, record, now + session_seconds(session))
        with self._file.write() as connection:
            connection.execute("DELETE FROM hot_sessions WHERE forget_at <= ?", (now,))
            connection.execute("INSERT OR REPLACE INTO hot_sessions VALUES (?, ?, ?, ?, ?)", row)

    def find(self, digest: bytes, *, now: datetime) -> Session | None:
        sql = "SELECT record FROM hot_sessions WHERE digest = ? AND forget_at > ?"
        rows = self._file.rows(sql, (digest, self._clock()))
        return live_session(rows[0][0], now) if rows else None

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

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return self._file.migrate(_SESSION_TABLES, dry_run=dry_run)

    def ping(self) -> None:
        self._file.ping()

    def close(self) -> None:
        self._file.close()


class EmbeddedCache(Cache):
    """Holds at most `entries` values and as many permits; those that expire soonest make room.

    Readers that miss together share one permit; the first to fill wins.
    """

    def __init__(self, url: str, *, entries: int = 10_000, clock: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path_of(url), "cache")
        self._entries = entries
        self._clock = clock

    def read(self, keys: Sequence[str]) -> list[Slot]:
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), _CHUNK):
            found.update(self._values(keys[start : start + _CHUNK]))
        permits = self._permits({key for key in keys if key not in found})
        return [Slot(found.get(key), permits.get(key)) for key in keys]

    def fill(self, values: Mapping[str, tuple[str, bytes]], *, seconds: int) -> None:
        now = self._clock()
        if not values:
            return
        with self._file.write() as connection:
            for key, (permit, value) in values.items():
                use = "DELETE FROM hot_permits WHERE key = ? AND permit = ? AND expires_at > ?"
                if connection.execute(use, (key, permit, now)).rowcount:
                    row = (key, value, now + spread(seconds))
                    connection.execute("INSERT OR REPLACE INTO hot_values VALUES (?, ?, ?)", row)
            self._make_room(connection, now)

    def drop(self, keys: Collection[str]) -> None:
        if not keys:
            return
        with self._file.write() as connection:
            connection.executemany("DELETE FROM hot_values WHERE key = ?", [(key,) for key in keys])
            connection.executemany("DELETE FROM hot_permits WHERE key = ?", [(key,) for key in keys])

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return self._file.migrate(_CACHE_TABLES, dry_run=dry_run)

    def ping(self) -> None:
        self._file.ping()

    def close(self) -> None:
        self._file.close()

    def _values(self, keys: Sequence[str]) -> dict[str, bytes]:
        marks = ",".join("?" * len(keys))
        sql = f"SELECT key, value FROM hot_values WHERE key IN ({marks}) AND expires_at > ?"  # noqa: S608  marks only
        return dict(self._file.rows(sql, (*keys, self._clock())))

    def _permits(self, keys: Collection[str]) -> dict[str, str]:
        """The permit in force of each key, which is a new one where there was none."""
        if not keys:
            return {}
        now, permits = self._clock(), {}
        with self._file.write() as connection:
            for key in keys:
                permits[key] = _permit(connection, key, now)
            self._make_room(connection, now)
        return permits

    def _make_room(self, connection: Connection, now: float) -> None:
        for table in ("hot_values", "hot_permits"):
            connection.execute(f"DELETE FROM {table} WHERE expires_at <= ?", (now,))  # noqa: S608  our two names
            [(count,)] = connection.execute(f"SELECT count(*) FROM {table}")  # noqa: S608  our two names
            if count > self._entries:
                soonest = f"SELECT key FROM {table} ORDER BY expires_at LIMIT ?"  # noqa: S608  our two names
                connection.execute(f"DELETE FROM {table} WHERE key IN ({soonest})", (count - self._entries,))  # noqa: S608  our two names


def _permit(connection: Connection, key: str, now: float) -> str:
    sql = """INSERT INTO hot_permits VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE
        SET permit = CASE WHEN expires_at > ? THEN permit ELSE excluded.permit END,
            expires_at = CASE WHEN expires_at > ? THEN expires_at ELSE excluded.expires_at END
        RETURNING permit"""
    [(permit,)] = connection.execute(sql, (key, new_permit(), now + PERMIT_SECONDS, now, now))
    return str(permit)
