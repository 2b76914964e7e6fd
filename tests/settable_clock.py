"""A clock that a test sets, together with the clock of the database."""

from datetime import UTC, datetime, timedelta

import psycopg

# PostgreSQL's clock cannot be set, so a function of the same name, earlier in the search path, replaces it.
_INSTALL = """
CREATE SCHEMA IF NOT EXISTS shifted;
CREATE TABLE IF NOT EXISTS shifted.clock AS SELECT interval '0' AS by;
CREATE OR REPLACE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + by FROM shifted.clock';
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = public, shifted, pg_catalog', current_database());
END $$
"""
_SET = "UPDATE shifted.clock SET by = %s - pg_catalog.clock_timestamp()"
_FORWARD = "UPDATE shifted.clock SET by = by + %s"


class Clock:
    """Advances by `step` with every call. The clock of a PostgreSQL database that it leads also runs in between."""

    step = timedelta(microseconds=1)

    def __init__(self) -> None:
        self._now = datetime(2030, 1, 1, tzinfo=UTC)
        self._led: list[str] = []

    def __call__(self) -> datetime:
        self._now += self.step
        return self._now

    @property
    def now(self) -> datetime:
        return self._now

    @now.setter
    def now(self, at: datetime) -> None:
        forward, self._now = at - self._now, at
        for url in self._led:
            _execute(url, _FORWARD, forward)

    def lead(self, url: str) -> None:
        """Set the clock of this PostgreSQL database, now and whenever this one is set. Must precede any other use."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_INSTALL)
        _execute(url, _SET, self())
        self._led.append(url)


def _execute(url: str, statement: str, value: datetime | timedelta) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement, (value,))
