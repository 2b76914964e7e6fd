"""The PostgreSQL database of the feeds. Ids are stored as `uuid`."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from repositories.deadline import within
from repositories.errors import Contention, Invalid, Unavailable
from repositories.feeds.layout import TimelineKind
from repositories.feeds.postgres.partitions import Partitions, width_ms
from repositories.feeds.postgres.schema import PARTITIONED, TYPES
from repositories.feeds.retention import Retention
from repositories.feeds.sql.database import FeedDatabase
from repositories.feeds.sql.statements import Upsert
from repositories.postgres.database import PostgresDatabase
from repositories.sql import Parameters, Row

T = TypeVar("T")


class PostgresFeedDatabase(FeedDatabase):
    """Uses generic plans: with many partitions the server would never choose them by itself.

    All operations are idempotent, so a transaction that fails with `Contention` is repeated once within the time limit.
    """

    def __init__(self, url: str, *, timeout: timedelta, pool: int, days: int, retention: Retention) -> None:
        """`days` is the least width of a partition."""
        settings = {"plan_cache_mode": "force_generic_plan"}
        self.database = PostgresDatabase(url, "feeds", timeout=timeout, pool=pool, fields={}, settings=settings)
        self._seconds = timeout.total_seconds()
        kind = TimelineKind("partition", width_ms(days, retention))
        self.partitions = {table: Partitions(self.database, table, kind, retention) for table in PARTITIONED}

    def key(self, of: UUID) -> UUID:
        return of

    def uuid(self, key: UUID) -> UUID:
        return key

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        return self._twice(lambda: self.database.rows(sql, parameters))

    def run(self, *calls: tuple[str, Parameters]) -> None:
        def write() -> None:
            with self.database.write() as work:
                for sql, parameters in calls:
                    work.execute(sql, parameters)

        self._twice(write)

    def upsert(self, statement: Upsert, rows: Sequence[Row]) -> None:
        partitions = self.partitions.get(statement.table)
        if partitions is None:
            self._twice(lambda: self._write(statement, rows))
            return
        ids = {row[1] for row in rows}
        self._twice(lambda: partitions.ensure(ids))
        try:
            self._twice(lambda: self._write(statement, rows))
        except Invalid:
            # Most likely a partition is missing: another process, with another retention, has dropped it.
            partitions.forget()
            self._twice(lambda: partitions.ensure(ids))
            self._twice(lambda: self._write(statement, rows))

    def _write(self, statement: Upsert, rows: Sequence[Row]) -> None:
        with self.database.write() as work:
            if len(rows) == 1:
                work.execute(statement.by_values, rows[0])
                return
            for batch in _without_repeats(rows, statement.keys):
                work.execute(_by_arrays(statement), [list(column) for column in zip(*batch, strict=True)])

    def _twice(self, call: Callable[[], T]) -> T:
        with within(self._seconds):
            try:
                return call()
            except Contention:
                pass
            try:
                return call()
            except Contention as error:
                raise Unavailable("feeds", str(error)) from error


def _by_arrays(statement: Upsert) -> str:
    """The statement for many rows. It sorts by key: two transactions that write in different orders may deadlock."""
    arrays = ", ".join(f"?::{TYPES.get(column, 'uuid')}[]" for column in statement.columns)
    return statement.text(f"SELECT * FROM unnest({arrays}) ORDER BY 1, 2")  # noqa: S608  our columns


def _without_repeats(rows: Sequence[Row], keys: int) -> list[list[Row]]:
    """The rows in batches, each without a repeated key: one statement may not write a row twice."""
    batches: list[dict[Row, Row]] = []
    for row in rows:
        key = row[:keys]
        for batch in batches:
            if batch.setdefault(key, row) is row:
                break
        else:
            batches.append({key: row})
    return [list(batch.values()) for batch in batches]
