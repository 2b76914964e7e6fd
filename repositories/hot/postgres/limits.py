"""Rate limits in PostgreSQL."""

import contextlib

from repositories.errors import Unavailable
from repositories.hot.postgres import schema
from repositories.hot.postgres.database import HotDatabase
from repositories.hot.sql.limits import SqlLimits
from repositories.sql import SqlBacked


class PostgresLimits(SqlBacked, SqlLimits):
    _tables = schema.LIMITS

    def __init__(self, database: HotDatabase) -> None:
        self._database = database
        super().__init__()

    def _forget(self) -> None:
        """A failed sweep is made up for by a later one."""
        with contextlib.suppress(Unavailable):
            super()._forget()
