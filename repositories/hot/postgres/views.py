"""View counts in PostgreSQL."""

from repositories.hot.postgres.database import HotDatabase
from repositories.hot.sql.views import SqlViewCounts
from repositories.sql import SqlBacked

# The last number is in a logged table: it must rise even after the counts are lost.
_TABLES = (
    """CREATE UNLOGGED TABLE IF NOT EXISTS hot_views (
        post_id bytea NOT NULL, taken bigint NOT NULL, n bigint NOT NULL, PRIMARY KEY (taken, post_id)
    ) WITH (fillfactor = 50)""",
    "CREATE TABLE IF NOT EXISTS hot_view_batch (id bigint PRIMARY KEY CHECK (id = 1), number bigint NOT NULL)",
)


class PostgresViewCounts(SqlBacked, SqlViewCounts):
    _tables = _TABLES

    def __init__(self, database: HotDatabase) -> None:
        self._database = database
