"""Rate limits in PostgreSQL."""

import contextlib

from repositories.errors import Unavailable
from repositories.hot.postgres.database import HotDatabase
from repositories.hot.sql.limits import SqlLimits
from repositories.sql import SqlBacked

# `full` has no index: each call changes it, and would have to write an entry in every index.
_TABLES = (
    """CREATE UNLOGGED TABLE IF NOT EXISTS hot_limits ("key" bytea PRIMARY KEY, "full" float8 NOT NULL)
        WITH (fillfactor = 50)""",
)


class PostgresLimits(SqlBacked, SqlLimits):
    _tables = _TABLES

    def __init__(self, database: HotDatabase) -> None:
        self._database = database
        super().__init__()

    def _forget(self) -> None:
        """A failed sweep is made up for by a later one."""
        with contextlib.suppress(Unavailable):
            super()._forget()
