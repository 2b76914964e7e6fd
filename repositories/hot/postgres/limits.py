"""Rate limits in PostgreSQL."""

import contextlib

from repositories.errors import Unavailable
from repositories.hot.postgres.database import HotDatabase
from repositories.hot.sql.limits import SqlLimits
from repositories.sql import SqlBacked

# No index on what each call changes, or each would cost an entry in all of them.
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
        """What is not forgotten now is so later."""
        with contextlib.suppress(Unavailable):
            super()._forget()
