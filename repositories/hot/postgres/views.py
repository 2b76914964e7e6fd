"""View counts in PostgreSQL."""

from repositories.hot.postgres import schema
from repositories.hot.postgres.database import HotDatabase
from repositories.hot.sql.views import SqlViewCounts
from repositories.sql import SqlBacked


class PostgresViewCounts(SqlBacked, SqlViewCounts):
    _tables = schema.VIEWS

    def __init__(self, database: HotDatabase) -> None:
        self._database = database
