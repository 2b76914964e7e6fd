"""The cache in SQLite."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from repositories.batched import batched
from repositories.hot.embedded import schema
from repositories.hot.encoding import (
    GENERATION_SECONDS,
    LARGEST,
    LEASE_SECONDS,
    fresh_of,
    new_token,
    value_bytes,
    value_of,
)
from repositories.hot.port import Cache, Fill, Held
from repositories.hot.sql.moving_cache import SqlCachePlace
from repositories.moving.sqlite import SqliteEngine
from repositories.sql import SqlBacked, SqlWork
from repositories.sqlite.database import SqliteDatabase
from repositories.sqlite.file import path_of

_ROWS = ("hot_values", "hot_leases")
# The tables of all stores at the URL of the cache.
_ALL = *_ROWS, "hot_streams", "hot_stream_events", "hot_limits", "hot_views"
_HELD = "stamp, record, due_at, stored_at, (SELECT more FROM hot_additions AS a WHERE a.key = hot_values.key)"
_ADD = """INSERT INTO hot_additions SELECT key, :more FROM hot_values WHERE key = :key
    ON CONFLICT (key) DO UPDATE SET more = CAST(more || excluded.more AS BLOB) RETURNING length(more)"""
# Keys are passed as single parameters: a list would be passed as JSON, which SQLite cuts at a NUL.
_CHUNK = 500
# The value, and whether one of its parts has changed.
_WHOLE = f"""SELECT EXISTS (
        SELECT 1 FROM hot_parts AS p WHERE p.key = hot_values.key AND NOT EXISTS (
            SELECT 1 FROM hot_values AS h WHERE h.key = p.part AND h.stamp = p.stamp AND h.expires_at > :now)
    ), {_HELD} FROM hot_values WHERE key = :key AND expires_at > :now"""  # noqa: S608  our columns
_PART = "SELECT 1 FROM hot_values WHERE key = ? AND stamp = ? AND expires_at > ?"


class EmbeddedCache(SqlBacked, Cache):
    """Holds at most `entries` values and as many leases; those that expire soonest are removed first."""

    _tables = schema.CACHE

    def __init__(
        self,
        url: str,
        *,
        entries: int = 10_000,
        lease: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        path = path_of(url)
        self._database = SqliteDatabase(path, "cache")
        self.place = SqlCachePlace(self._database, SqliteEngine(path.exists), _ALL, self.void)
        self._entries = entries
        self._lease = lease
        self._clock = clock

    def read(self, keys: Sequence[str]) -> list[Held | None]:
        found: dict[str, Held | None] = {}
        now = self._clock()
        for part in batched(keys, _CHUNK):
            marks = ",".join("?" * len(part))
            sql = f"SELECT key, {_HELD} FROM hot_values WHERE key IN ({marks}) AND expires_at > ?"  # noqa: S608  marks only
            found.update({key: _held(row, now) for key, *row in self._database.rows(sql, (*part, now))})
        return [found.get(key) for key in keys]

    def whole(self, key: str, *, exact: bool = False) -> Held | None:  # noqa: ARG002  nothing is answered from memory
        now = self._clock()
        rows = self._database.rows(_WHOLE, {"key": key, "now": now})
        if not rows:
            return None
        changed, *row = rows[0]
        if not changed:
            return _held(row, now)
        with self._database.write() as connection:
            connection.execute("DELETE FROM hot_values WHERE key = ? AND stamp = ?", (key, row[0]))
        return None

    def lease(self, seen: Mapping[str, bytes]) -> list[Held | bytes | None]:
        if not seen:
            return []
        now = self._clock()
        with self._database.write() as connection:
            answers = [self._lease_one(connection, key, stamp, now) for key, stamp in seen.items()]
            self._make_room(connection, now)
        return answers

    def fill(self, fills: Mapping[str, Fill]) -> set[str]:
        if not fills:
            return set()
        now = self._clock()
        records = {key: value_bytes(fill.value) for key, fill in fills.items()}
        with self._database.write() as connection:
            ended = {key for key, fill in fills.items() if _end(connection, key, fill.lease, now)}
            stored = {key for key in ended if len(records[key]) <= LARGEST}
            stored = {key for key in stored if _unchanged(connection, fills[key].parts, now)}
            fresh = {key: fresh_of(fills[key]) for key in stored}
            stored = {key for key in stored if fresh[key] > 0 or fills[key].since is None}
            for key in stored:
                fill, due = fills[key], now + fresh[key]
                row = (key, fill.lease, records[key], due, now, due + fill.stale)
                parts = [(key, part, stamp) for part, stamp in fill.parts.items()]
                connection.execute("DELETE FROM hot_values WHERE key = ?", (key,))
                connection.execute("INSERT INTO hot_values VALUES (?, ?, ?, ?, ?, ?)", row)
                connection.executemany("INSERT INTO hot_parts VALUES (?, ?, ?)", parts)
            self._make_room(connection, now)
        return stored

    def release(self, leases: Mapping[str, bytes]) -> None:
        if leases:
            now = self._clock()
            with self._database.write() as connection:
                for key, lease in leases.items():
                    _end(connection, key, lease, now)

    def drop(self, keys: Collection[str]) -> None:
        if keys:
            names = [(key,) for key in keys]
            with self._database.write() as connection:
                connection.executemany("DELETE FROM hot_values WHERE key = ?", names)
                connection.executemany("DELETE FROM hot_leases WHERE key = ?", names)

    def extend(self, keys: Collection[str], more: bytes, *, most: int) -> None:
        with self._database.write() as connection:
            for key in keys:
                connection.execute("DELETE FROM hot_leases WHERE key = ?", (key,))
                for (length,) in connection.execute(_ADD, {"key": key, "more": more}).fetchall():
                    if length > most:
                        connection.execute("DELETE FROM hot_values WHERE key = ?", (key,))
                connection.execute("UPDATE hot_values SET stamp = ? WHERE key = ?", (new_token(), key))

    def void(self, *, unless_done: bool = False) -> None:  # noqa: ARG002  nothing is lost by doing it again
        with self._database.write() as connection:
            connection.execute("DELETE FROM hot_values")
            connection.execute("DELETE FROM hot_leases")

    def outwait(self) -> None:
        """Does not wait: nothing is answered from memory."""

    def _lease_one(self, connection: SqlWork, key: str, seen: bytes, now: float) -> Held | bytes | None:
        sql = f"SELECT {_HELD} FROM hot_values WHERE key = ? AND expires_at > ?"  # noqa: S608  our columns
        row = connection.execute(sql, (key, now)).fetchone()
        held = _held(row, now) if row else None
        if held is not None and held.stamp != seen:
            return held
        take = """INSERT INTO hot_leases VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE
            SET lease = CASE WHEN expires_at > ? THEN lease ELSE excluded.lease END,
                busy_until = excluded.busy_until, expires_at = excluded.expires_at
            WHERE busy_until <= ? RETURNING lease"""
        mine = (key, new_token(), now + self._lease, now + GENERATION_SECONDS, now, now)
        taken: list[tuple[bytes]] = connection.execute(take, mine).fetchall()
        return taken[0][0] if taken else None

    def _make_room(self, connection: SqlWork, now: float) -> None:
        for table in _ROWS:
            connection.execute(f"DELETE FROM {table} WHERE expires_at <= ?", (now,))  # noqa: S608  our two names
            [(count,)] = connection.execute(f"SELECT count(*) FROM {table}")  # noqa: S608  our two names
            if count > self._entries:
                soonest = f"SELECT key FROM {table} ORDER BY expires_at LIMIT ?"  # noqa: S608  our two names
                connection.execute(f"DELETE FROM {table} WHERE key IN ({soonest})", (count - self._entries,))  # noqa: S608  our two names


def _held(row: Sequence[Any], now: float) -> Held | None:
    stamp, record, due, stored, more = row
    value = value_of(record)
    return None if value is None else Held(value, due - now, stamp, max(now - stored, 0.0), more or b"")


def _unchanged(connection: SqlWork, parts: Mapping[str, bytes], now: float) -> bool:
    return all(connection.execute(_PART, (part, stamp, now)).fetchone() for part, stamp in parts.items())


def _end(connection: SqlWork, key: str, lease: bytes, now: float) -> bool:
    sql = "DELETE FROM hot_leases WHERE key = ? AND lease = ? AND expires_at > ?"
    return connection.execute(sql, (key, lease, now)).rowcount > 0
