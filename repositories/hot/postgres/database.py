"""The database of the hot stores. Their callers cannot handle `Contention`, so it is raised as `Unavailable`."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Self

from repositories.errors import Contention, Unavailable
from repositories.postgres.database import PostgresDatabase, PostgresWork
from repositories.sql import Parameters, Row
from repositories.translation import Translation

_FIELDS = {"hot_stream_events_account_id_key_key": "key"}
_ALARMING = 0.25
# A plan made while a table is empty, as after a crash, stays in use when the table has grown, so it must use an index.
_SETTINGS = {"enable_seqscan": "off"}


class Contending:
    """The same database for a move, which retries on `Contention`: its writes raise that instead of `Unavailable`."""

    def __init__(self, database: "HotDatabase") -> None:
        self.rows = database.rows
        self.snapshot = database.snapshot
        self.write = super(HotDatabase, database).write


class HotDatabase(PostgresDatabase):
    @classmethod
    def of_cache(cls, url: str, *, timeout: timedelta, pool: int) -> Self:
        """The database of the cache, whose writes do not wait for the disk. Raises `BadAddress`."""
        return cls(url, "cache", {"synchronous_commit": "off"}, timeout=timeout, pool=pool)

    def __init__(self, url: str, role: str, settings: dict[str, str], *, timeout: timedelta, pool: int) -> None:
        super().__init__(url, role, timeout=timeout, pool=pool, fields=_FIELDS, settings=_SETTINGS | settings)
        self._contention_as_unavailable = Translation((Contention,), lambda error: Unavailable(role, str(error)))
        # The share of the server's notification queue in use, when last read.
        self.queue_usage = 0.0

    def notes(self) -> list[str]:
        found = super().notes()
        if self.queue_usage >= _ALARMING:
            usage = f"{self.queue_usage:.0%}"
            found.append(f"the server's queue of notifications is {usage} full: somebody listens and does not read")
        return found

    def _rows(self, operation: str, sql: str, parameters: Parameters) -> list[Row]:
        with self._contention_as_unavailable:
            return super()._rows(operation, sql, parameters)

    @contextlib.contextmanager
    def write(self) -> Iterator[PostgresWork]:
        with self._contention_as_unavailable, super().write() as work:
            yield work
