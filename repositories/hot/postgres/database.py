"""The database of the hot stores. Whoever uses it cannot do anything about contention, so it counts as being away."""

import contextlib
from collections.abc import Iterator

from repositories.errors import Contention, Unavailable
from repositories.postgres.database import PostgresDatabase, PostgresWork
from repositories.sql import Parameters, Row
from repositories.translation import Translation

# Behind what chooses rows to be deleted.
UNLOCKED = " FOR UPDATE SKIP LOCKED"


class HotDatabase(PostgresDatabase):
    def _rows(self, operation: str, sql: str, parameters: Parameters) -> list[Row]:
        with self._patience():
            return super()._rows(operation, sql, parameters)

    @contextlib.contextmanager
    def write(self) -> Iterator[PostgresWork]:
        with self._patience(), super().write() as work:
            yield work

    def _patience(self) -> Translation:
        return Translation((Contention,), lambda error: Unavailable(self._role, str(error)))
