"""Connection pools, by SQLAlchemy, over `BoundedConnection`."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import Dialect, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from repositories import meter, pool_registry
from repositories.deadline import remaining, within
from repositories.errors import Unavailable
from repositories.postgres.deadline import BoundedConnection
from repositories.postgres.errors import is_outdated
from repositories.postgres.hosts import Connector
from repositories.postgres.unanswered_commits import Unanswered
from repositories.translation import Translation

_LEVEL = "read committed"
_STATEMENTS: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
_RECYCLE_SECONDS = 1800
_LOCK_SHARE = 0.75
_IDLE_SHARE = 5
_MIGRATION_SECONDS = 600
_MIGRATION_LOCK_SECONDS = 30
# `reserved_connections` is new in PostgreSQL 16. Connections of this application are not subtracted.
_ROOM = """
SELECT current_setting('max_connections')::int,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int,
  (SELECT count(*) FROM pg_stat_activity
   WHERE backend_type = 'client backend' AND application_name <> 'quartet')
"""


class Lane:
    """A connection pool and the semaphore before it. `lane` is its name in metrics: `read`, `write` or `replica`, or
    `all` for one pool for reads and writes.

    `seconds` is the deadline of one call, including the wait for a connection. `translated` turns errors into those of
    the port of `role`; `settings` are further settings of the server.
    """

    def __init__(
        self,
        hosts: Connector,
        lane: Literal["read", "write", "replica", "all"],
        *,
        role: str,
        translated: Translation,
        seconds: float,
        size: int,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        target = hosts.target
        # Behind a pooler each statement runs in a transaction, because SET LOCAL needs one.
        self.autocommits = lane != "write" and not target.pooled
        every = {**_settings(seconds, seconds * _LOCK_SHARE), **settings}
        # How many milliseconds a statement waits for a row lock.
        self.patience = int(every["lock_timeout"])
        # The statement that each transaction behind a pooler begins with.
        self.first = _set_local(every) if target.pooled else ""
        self._free = threading.BoundedSemaphore(size)
        # Not used behind a pooler, which bounds the server's connections and has process ids of its own.
        self._unanswered = Unanswered(size, self._beside, self._free.release)
        self.engine = _engine(
            hosts,
            limit=seconds,
            settings=every,
            # No statement on a replica outlasts its time limit.
            unanswered=None if target.pooled or lane == "replica" else self._unanswered.add,
            pool_size=size,
            max_overflow=0,
            pool_timeout=seconds,
            pool_recycle=_RECYCLE_SECONDS,
            **(_STATEMENTS if self.autocommits else {}),
        )
        event.listen(self.engine, "checkin", _mark_used)
        event.listen(self.engine, "checkout", self._refuse_stale)
        event.listen(self.engine, "handle_error", _drop_outdated)
        self._hosts = hosts
        self._seconds = seconds
        self._translated = translated
        # Each watched host has one connection outside of the pools.
        watched = lane == "replica" or (lane in ("write", "all") and len(target.hosts) > 1)
        self.store, self.size, self.beside = role, size, int(watched)
        self.lane: str = lane
        self.server = target.server
        # Opens a connection for one statement.
        self.open = self.engine.connect if self.autocommits else self.engine.begin
        pool_registry.opened(self)

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Reserve a connection for the block. Waiting for it counts towards the deadline."""
        if not self._free.acquire(blocking=False):
            self._wait()
        try:
            yield
        finally:
            if not self._unanswered.keeps():
                self._free.release()

    def in_use(self) -> int:
        return int(self.engine.pool.checkedout())  # type: ignore[attr-defined]  # a QueuePool

    def room(self) -> pool_registry.Room | None:
        """The room for connections; None for a replica that is away, since this process serves without it."""
        try:
            return self._room()
        except Unavailable:
            if self.lane == "replica":
                return None
            raise

    def _room(self) -> pool_registry.Room:
        with self.deadline(), self.slot(), self._translated, self.engine.connect() as connection:
            limit, reserved, others = connection.exec_driver_sql(_ROOM).one()
        because = f"max_connections is {limit}, {reserved} of them reserved and {others} used by others"
        return pool_registry.Room(limit - reserved - others, because)

    def _wait(self) -> None:
        began = time.monotonic()
        if not self._unanswered.settle():
            raise Unavailable(self.store, "every connection waits for an answer of the server")
        free = self._free.acquire(timeout=remaining(self._seconds))
        meter.waited(self.store, time.monotonic() - began)
        if not free:
            raise Unavailable(self.store, "every connection is busy")

    def deadline(self) -> within:
        return within(self._seconds)

    def _beside(self) -> BoundedConnection:
        return self._hosts.connect({**self._hosts.target.keywords, "application_name": "quartet"})

    def _refuse_stale(self, connection: BoundedConnection, entry: ConnectionPoolEntry, _proxy: object) -> None:
        """Invalidate the pool when the server has closed an idle connection, as after a restart, or is an old primary
        by now. Costs no round trip.
        """
        # A connection that was never used may still have TLS handshake data to read.
        closed = entry.info.get("used") and connection.is_stale()
        if closed or connection.is_superseded():
            raise InvalidatePoolError


def migrating_engine(hosts: Connector) -> Engine:
    """An engine for one migration: a long statement timeout, a short lock timeout."""
    return _engine(
        hosts,
        limit=_MIGRATION_SECONDS,
        settings=_settings(_MIGRATION_SECONDS, _MIGRATION_LOCK_SECONDS),
        poolclass=NullPool,
    )


def _settings(seconds: float, lock_seconds: float) -> dict[str, str | float]:
    """The server's timeouts, and the settings that the statements rely on."""
    return {
        "timezone": "UTC",
        # For data in memory or on flash. With the default of 4, for spinning disks, the planner prefers reading a table
        # of ten thousand rows to about ten index lookups.
        "random_page_cost": 1.1,
        "default_transaction_isolation": _LEVEL,
        "statement_timeout": _milliseconds(seconds),
        "lock_timeout": _milliseconds(lock_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(seconds * _IDLE_SHARE),
    }


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _set_local(settings: Mapping[str, str | float]) -> str:
    return "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())


def _engine(
    hosts: Connector,
    *,
    limit: float,
    settings: Mapping[str, str | float],
    unanswered: Callable[[int], None] | None = None,
    **options: Any,
) -> Engine:
    target = hosts.target
    keywords = {**target.keywords, "application_name": "quartet", "client_encoding": "utf8"}
    if target.pooled:
        # A pooler refuses start-up options, and the next transaction may run where nothing is prepared.
        keywords["prepare_threshold"] = None
    else:
        own = [f"-c {name}={value}".replace(_LEVEL, _LEVEL.replace(" ", r"\ ")) for name, value in settings.items()]
        keywords["options"] = " ".join([*own, keywords.get("options", "")]).strip()
        keywords["prepare_threshold"] = 0
    engine = create_engine("postgresql+psycopg://", connect_args=keywords, use_native_hstore=False, **options)
    if target.pooled:
        first = _set_local(settings)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(first))

    def connect(_dialect: Dialect, _entry: object, _args: list[Any], kwargs: dict[str, Any]) -> BoundedConnection:
        connection = hosts.connect(kwargs)
        connection.limit, connection.unanswered = limit, unanswered
        connection.latest = lambda: hosts.highest
        return connection

    event.listen(engine, "do_connect", connect)
    return engine


def _mark_used(_connection: BoundedConnection | None, entry: ConnectionPoolEntry) -> None:
    entry.info["used"] = True


def _drop_outdated(context: ExceptionContext) -> None:
    """Drop this connection and all older ones: a statement prepared before a schema change always fails, and so do
    writes on a server that has become read-only.
    """
    if is_outdated(context.original_exception):
        context.is_disconnect = context.invalidate_pool_on_disconnect = True
