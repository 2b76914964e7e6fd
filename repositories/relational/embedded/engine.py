"""SQLAlchemy engines over one SQLite file."""

import sqlite3
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from repositories.meter import called
from repositories.relational.embedded.errors import ROLE
from repositories.relational.money.digests import chain
from repositories.relational.schema.columns import micros
from repositories.sqlite.file import BUSY_SECONDS, awaiting_the_writer, make_private, set_up

Clock = Callable[[], datetime]
# Without a limit: each working thread has a connection of its own.
_POOL: dict[str, Any] = {"poolclass": QueuePool, "pool_size": 0}


def reading_engine(path: Path, clock: Clock) -> Engine:
    """For single statements outside of transactions."""
    return _engine(path, clock, isolation_level="AUTOCOMMIT", **_POOL)


def writing_engine(path: Path, clock: Clock) -> Engine:
    engine = _engine(path, clock, **_POOL)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def filling_engine(path: Path, clock: Clock) -> Engine:
    """For transactions without checks of foreign keys. Keeps no connection open."""
    engine = _engine(path, clock, poolclass=NullPool)
    event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA foreign_keys=OFF"))
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _engine(path: Path, clock: Clock, **options: Any) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        **options,
    )
    event.listen(engine, "do_connect", lambda *_: make_private(path))
    event.listen(engine, "connect", lambda connection, _record: _set_up(connection, clock))
    return engine


def _set_up(connection: sqlite3.Connection, clock: Clock) -> None:
    # The driver must not begin transactions; `_begin_immediate` does.
    connection.isolation_level = None
    set_up(connection)
    # Without this, REPLACE deletes rows without firing the triggers that refuse a DELETE.
    connection.execute("PRAGMA recursive_triggers=ON")
    connection.create_function("chained", 2, chain, deterministic=True)
    connection.create_function("database_time", 0, lambda: micros(clock()))


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at the start, so that no transaction fails on upgrading its lock."""
    began = time.monotonic()
    driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    try:
        with awaiting_the_writer(driver, ROLE):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    except DBAPIError:
        called(ROLE, "begin", time.monotonic() - began, ok=False)
        raise
