"""SQLAlchemy engines over `BoundedConnection`."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import Dialect, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from repositories import meter, pools
from repositories.errors import Unavailable
from repositories.relational.postgres.conninfo import Conninfo, conninfo_of
from repositories.relational.postgres.deadline import BoundedConnection, remaining, within
from repositories.relational.postgres.errors import ROLE, is_outdated, translated

_LEVEL = "read committed"
_STATEMENTS: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
_RECYCLE_SECONDS = 1800
_LOCK_SHARE = 0.75
_IDLE_SHARE = 5
_MIGRATION_SECONDS = 600
_MIGRATION_LOCK_SECONDS = 30
# `reserved_connections` is new in PostgreSQL 16. Other processes of ours are reckoned with, not counted.
_ROOM = """
SELECT current_setting('max_connections')::int,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int,
  (SELECT count(*) FROM pg_stat_activity
   WHERE backend_type = 'client backend' AND application_name <> 'quartet')
"""


class Lane:
    """One pool of connections, and the turnstile before it. `lane` names it in metrics: `read` or `write`.

    `seconds` is how long a call may take from here to its answer.
    """

    def __init__(self, url: str, lane: Literal["read", "write"], *, seconds: float, size: int) -> None:
        target = conninfo_of(url)
        # Behind a pooler a statement is a transaction of its own, or it would have no place for its settings.
        single = lane == "read" and not target.pooled
        self.engine = _engine(
            target,
            limit=seconds,
            settings=_settings(seconds, seconds * _LOCK_SHARE),
            pool_size=size,
            max_overflow=0,
            pool_timeout=seconds,
            pool_recycle=_RECYCLE_SECONDS,
            **(_STATEMENTS if single else {}),
        )
        event.listen(self.engine, "checkin", _mark_used)
        event.listen(self.engine, "checkout", _refuse_stale)
        event.listen(self.engine, "handle_error", _drop_outdated)
        self._seconds = seconds
        self.store, self.size, self.beside = ROLE, size, 0
        self.lane: str = lane
        self.server = target.server
        # For one statement.
        self.open = self.engine.connect if single or lane == "write" else self.engine.begin
        pools.opened(self)
        self._free = threading.BoundedSemaphore(size)

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """A connection is free inside the block. Waiting for it counts towards the deadline."""
        if not self._free.acquire(blocking=False):
            self._wait()
        try:
            yield
        finally:
            self._free.release()

    def in_use(self) -> int:
        return int(self.engine.pool.checkedout())  # type: ignore[attr-defined]  # a QueuePool

    def room(self) -> pools.Room:
        with self.deadline(), self.slot(), translated(), self.engine.connect() as connection:
            limit, reserved, others = connection.exec_driver_sql(_ROOM).one()
        because = f"max_connections is {limit}, {reserved} of them reserved and {others} used by others"
        return pools.Room(limit - reserved - others, because)

    def _wait(self) -> None:
        began = time.monotonic()
        free = self._free.acquire(timeout=remaining(self._seconds))
        meter.waited(ROLE, time.monotonic() - began)
        if not free:
            raise Unavailable(ROLE, "every connection is busy")

    @contextlib.contextmanager
    def deadline(self) -> Iterator[None]:
        with within(self._seconds):
            yield


def migrating_engine(url: str) -> Engine:
    """A connection for one migration, which may take its time but not hold up others by waiting for a lock."""
    return _engine(
        conninfo_of(url),
        limit=_MIGRATION_SECONDS,
        settings=_settings(_MIGRATION_SECONDS, _MIGRATION_LOCK_SECONDS),
        poolclass=NullPool,
    )


def _settings(seconds: float, lock_seconds: float) -> dict[str, str | float]:
    """The server's part of the deadline, and what the statements rely on."""
    return {
        "timezone": "UTC",
        # What is asked for lies in memory or on flash. At the default of 4, made for disks that seek, the planner takes
        # some ten look-ups in an index to be dearer than reading a table of ten thousand rows.
        "random_page_cost": 1.1,
        "default_transaction_isolation": _LEVEL,
        "statement_timeout": _milliseconds(seconds),
        "lock_timeout": _milliseconds(lock_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(seconds * _IDLE_SHARE),
    }


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _engine(target: Conninfo, *, limit: float, settings: dict[str, str | float], **options: Any) -> Engine:
    keywords = {**target.keywords, "application_name": "quartet", "client_encoding": "utf8"}
    if target.pooled:
        # A pooler takes no options at the start, and the next transaction may run where nothing was prepared.
        keywords["prepare_threshold"] = None
    else:
        own = [f"-c {name}={value}".replace(_LEVEL, _LEVEL.replace(" ", r"\ ")) for name, value in settings.items()]
        keywords["options"] = " ".join([*own, keywords.get("options", "")]).strip()
        keywords["prepare_threshold"] = 0
    engine = create_engine("postgresql+psycopg://", connect_args=keywords, use_native_hstore=False, **options)
    if target.pooled:
        first = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(first))

    def connect(_dialect: Dialect, _entry: object, args: list[Any], kwargs: dict[str, Any]) -> BoundedConnection:
        connection = BoundedConnection.connect(*args, **kwargs)
        connection.limit = limit
        return connection

    event.listen(engine, "do_connect", connect)
    return engine


def _mark_used(_connection: BoundedConnection | None, entry: ConnectionPoolEntry) -> None:
    entry.info["used"] = True


def _refuse_stale(connection: BoundedConnection, entry: ConnectionPoolEntry, _proxy: object) -> None:
    """After a restart of the server all connections are stale; this finds out without asking the server."""
    # A connection that was never used may have the end of a TLS handshake to read.
    if entry.info.get("used") and connection.is_stale():
        raise InvalidatePoolError


def _drop_outdated(context: ExceptionContext) -> None:
    """Statements that were prepared before the tables changed fail for ever: this connection goes, and all as old."""
    if is_outdated(context.original_exception):
        context.is_disconnect = context.invalidate_pool_on_disconnect = True
