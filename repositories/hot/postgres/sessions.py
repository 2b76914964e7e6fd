"""Sessions in PostgreSQL: a logged table, so that ended sessions stay ended after a crash."""

from datetime import UTC, datetime, timedelta

from repositories.hot.postgres import schema
from repositories.hot.postgres.database import Contending, HotDatabase
from repositories.hot.sql.moving import SqlSessionsPlace, noted
from repositories.hot.sql.sessions import SqlSessions
from repositories.moving.postgres import PostgresEngine
from repositories.sql import SqlBacked


class PostgresSessions(SqlBacked, SqlSessions):
    _database: HotDatabase
    _tables = schema.SESSIONS

    def __init__(self, url: str, *, timeout: timedelta, pool: int, seen: bool = False) -> None:
        self._database = HotDatabase(url, "sessions", {"synchronous_commit": "on"}, timeout=timeout, pool=pool)
        self._seen = seen
        keys = noted("encode({}, 'hex')")
        self.place = SqlSessionsPlace(Contending(self._database), PostgresEngine(), keys, lambda: datetime.now(UTC))
