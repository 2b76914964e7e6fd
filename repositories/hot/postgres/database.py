"""The database of the hot stores. Their users cannot do anything about contention, so it counts as being away."""

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
# A plan that was made while a table was empty, as after a crash, is kept when it is large.
_SETTINGS = {"enable_seqscan": "off"}


class Contending:
    """The same database to a move, which tries again what has lost against others."""

    def __init__(self, database: "HotDatabase") -> None:
        self.rows = database.rows
        self.snapshot = database.snapshot
        self.write = super(HotDatabase, database).write


class HotDatabase(PostgresDatabase):
    @classmethod
    def of_cache(cls, url: str, *, timeout: timedelta, pool: int) -> Self:
        """Raises `BadAddress`. Nothing in it is worth waiting for the disk."""
        return cls(url, "cache", {"synchronous_commit": "off"}, timeout=timeout, pool=pool)

    def __init__(self, url: str, role: str, settings: dict[str, str], *, timeout: timedelta, pool: int) -> None:
        super().__init__(url, role, timeout=timeout, pool=pool, fields=_FIELDS, settings=_SETTINGS | settings)
        self._patience = Translation((Contention,), lambda error: Unavailable(role, str(error)))
        # Of the server's notifications, as far as is known.
        self.queue_usage = 0.0

    def notes(self) -> list[str]:
        found = super().notes()
        if self.queue_usage >= _ALARMING:
            usage = f"{self.queue_usage:.0%}"
            found.append(f"the server's queue of notifications is {usage} full: somebody listens and does not read")
        return found

    def _rows(self, operation: str, sql: str, parameters: Parameters) -> list[Row]:
        with self._patience:
            return super()._rows(operation, sql, parameters)

    @contextlib.contextmanager
    def write(self) -> Iterator[PostgresWork]:
        with self._patience, super().write() as work:
            yield work
