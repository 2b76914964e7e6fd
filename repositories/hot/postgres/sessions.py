"""Sessions in PostgreSQL: a logged table, so that ended sessions stay ended after a crash."""

from datetime import UTC, datetime, timedelta

from repositories.hot.postgres.database import Contending, HotDatabase
from repositories.hot.sql.moving import SqlSessionsPlace, noted
from repositories.hot.sql.sessions import SqlSessions
from repositories.moving.gate import MAKE_MARKS
from repositories.moving.postgres import PostgresEngine
from repositories.sql import SqlBacked

# The free half of each page is for new versions of its rows, which then need no new index entries.
_TABLES = (
    MAKE_MARKS,
    """CREATE TABLE IF NOT EXISTS hot_sessions (
        digest bytea PRIMARY KEY, account_id bytea NOT NULL, id bytea NOT NULL, record bytea NOT NULL,
        forget_at float8 NOT NULL, UNIQUE (account_id, id)
    ) WITH (fillfactor = 50)""",
    "CREATE INDEX IF NOT EXISTS hot_sessions_forget_at ON hot_sessions (forget_at)",
    """CREATE TABLE IF NOT EXISTS hot_seen (
        account_id bytea NOT NULL, store text COLLATE "C" NOT NULL, position text COLLATE "C" NOT NULL,
        forget_at float8 NOT NULL, PRIMARY KEY (account_id, store)
    ) WITH (fillfactor = 50)""",
    "CREATE INDEX IF NOT EXISTS hot_seen_forget_at ON hot_seen (forget_at)",
)


class PostgresSessions(SqlBacked, SqlSessions):
    _database: HotDatabase
    _tables = _TABLES

    def __init__(self, url: str, *, timeout: timedelta, pool: int, seen: bool = False) -> None:
        self._database = HotDatabase(url, "sessions", {"synchronous_commit": "on"}, timeout=timeout, pool=pool)
        self._seen = seen
        keys = noted("encode({}, 'hex')")
        self.place = SqlSessionsPlace(Contending(self._database), PostgresEngine(), keys, lambda: datetime.now(UTC))
