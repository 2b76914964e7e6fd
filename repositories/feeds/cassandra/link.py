"""The session with Cassandra: connected by the first call, with prepared statements, deadlines and the ports' errors.

Each statement has its own deadline, within which other nodes are asked as well if one is silent (`policies.py`). The
driver reconnects by itself.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from cassandra import ConsistencyLevel, DriverException
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.concurrent import execute_concurrent, execute_concurrent_with_args
from cassandra.policies import ConstantReconnectionPolicy, FallthroughRetryPolicy
from cassandra.query import SimpleStatement, tuple_factory

from repositories.deadline import at_most, remaining
from repositories.feeds.cassandra.batches import PROTOCOL, batch_of, together
from repositories.feeds.cassandra.contact import answering
from repositories.feeds.cassandra.errors import translated
from repositories.feeds.cassandra.lazy_value import LazyValue
from repositories.feeds.cassandra.policies import NextNode, impatient, nodes
from repositories.feeds.cassandra.schema import AT_ONCE
from repositories.feeds.cassandra.target import CassandraTarget
from repositories.meter import asked
from repositories.read_your_writes import HostState
from repositories.slow_statements import Explained, Statement, of

LOG = logging.getLogger("cassandra")
Call = tuple[str, Sequence[Any]]
Row = tuple[Any, ...]
Check = Callable[[Session], None]

STORE = "feeds"
CONCURRENCY = 100
# Concurrent batches of a load: with more, each waits for the others in the server's queue and misses its deadline.
LOADING = 16
# Rows fetched at a time by what reads whole partitions, such as moves. Cassandra counts the rows of each fetch, and the
# advice `rows-read` is for other clients, so this is below its bound.
PAGE = 2_000
SCHEMA_SECONDS = 20.0
RECONNECT_SECONDS = 0.5
# Longer than a caller waits, so that a slow handshake succeeds for a later caller.
HANDSHAKE_SECONDS = 3.0
FIRST_HANDSHAKE_SECONDS = 1.0
# A node that is silent for this long counts as down although its connections are open. The driver's default is 30.
HEARTBEAT_SECONDS = 1
_ALIVE = SimpleStatement("SELECT key FROM system.local WHERE key = 'local'", is_idempotent=True)


class Link:
    """Prepared statements by name, over one session."""

    def __init__(
        self,
        where: CassandraTarget,
        statements: dict[str, str],
        confirm: Check,
        *,
        timeout: timedelta,
        read: str,
        write: str,
    ) -> None:
        self._where = where
        self._texts = statements
        self._timeout = timeout.total_seconds()
        self._confirm = confirm
        self._levels = {
            EXEC_PROFILE_DEFAULT: ConsistencyLevel.name_to_value[read],
            "write": ConsistencyLevel.name_to_value[write],
            # No speculative execution: a load keeps nodes busy, and would write most of its rows twice.
            "load": ConsistencyLevel.name_to_value[write],
            # No speculative execution: on a busy machine the same page was seen to arrive twice.
            "scan": ConsistencyLevel.name_to_value[read],
            "schema": ConsistencyLevel.LOCAL_ONE,
        }
        self._guard = threading.Lock()
        self._closed = False
        self._cluster: Any = None
        self._tried = False
        self._session: LazyValue[Any] = LazyValue(self._connect)
        self._statements: LazyValue[dict[str, Any]] = LazyValue(self._prepare)

    def deadline(self) -> float:
        return time.monotonic() + at_most(self._timeout)

    def read(self, calls: Iterable[Call], deadline: float) -> list[list[Row]]:
        """Execute all calls concurrently. Returns the rows of each."""
        if not (calls := list(calls)):
            return []
        names = "+".join(dict.fromkeys(name for name, _ in calls))
        with asked(STORE, names, len(calls), self._slow(*dict.fromkeys(name for name, _ in calls))), translated():
            statements = self._statements.get(_left(deadline))
            session = self._session.get(_left(deadline))
            futures = [
                session.execute_async(statements[name], values, timeout=_left(deadline)) for name, values in calls
            ]
            return [list(future.result()) for future in futures]

    def scan(self, name: str, values: Sequence[Any]) -> Iterator[Row]:
        """The rows of one statement, fetched in pages; each fetch has the deadline of a call."""
        deadline = self.deadline()
        with translated():
            statement = self._statements.get(_left(deadline))[name]
            session = self._session.get(_left(deadline))
            with asked(STORE, name, 1, self._slow(name)):
                page = session.execute(statement, values, _left(deadline), execution_profile="scan")
            yield from page.current_rows
            while page.has_more_pages:
                with asked(STORE, name, 1, self._slow(name)):
                    page.fetch_next_page()
                yield from page.current_rows

    def write(self, name: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute one statement for many rows, concurrently, each with the deadline of a call.

        When one fails, no more are sent; others may have been written.
        """
        with asked(STORE, name, 1, self._slow(name)) as call, translated():
            statement, session, profile = self._writing(name)
            # Make all rows first: the driver takes an iterator that raises in its thread for one that has ended.
            sent = list(call.each(rows))
            execute_concurrent_with_args(session, statement, sent, concurrency=CONCURRENCY, execution_profile=profile)

    def write_together(self, name: str, rows: Iterable[Sequence[Any]], *, key: int, loading: bool = False) -> None:
        """Like `write`, with one unlogged batch for rows that share their first `key` columns, the partition key.

        A batch within one partition is one mutation, so it needs no coordination between nodes. `loading`: many batches
        that nobody waits for.
        """
        with asked(STORE, name, 1, self._slow(name)) as call, translated():
            statement, session, profile = self._writing(name, loading=loading)
            calls = ((batch_of(statement, some), None) for some in together(rows, key))
            at_once = LOADING if loading else CONCURRENCY
            execute_concurrent(session, list(call.each(calls)), concurrency=at_once, execution_profile=profile)

    def _slow(self, *names: str) -> Statement | None:
        """The texts of the statements, to be logged if they are slow. Cassandra has no query plans."""
        return of(names, lambda: Explained("\n".join(self._texts[name] for name in names)))

    def _writing(self, name: str, *, loading: bool = False) -> tuple[Any, Any, Any]:
        """Statement, session, and the profile for a write, whose timeout is at most the request's remaining time."""
        deadline = self.deadline()
        statement = self._statements.get(_left(deadline))[name]
        session = self._session.get(_left(deadline))
        left = _left(deadline)
        profile = "load" if loading else "write"
        if remaining(self._timeout) >= self._timeout:
            return statement, session, profile
        return statement, session, session.execution_profile_clone_update(profile, request_timeout=left)

    def schema(self, text: str, values: Sequence[Any] | None = None, *, profile: str = "schema") -> list[Row]:
        with translated():
            session = self._session.get(SCHEMA_SECONDS)
            return list(session.execute(text, values, execution_profile=profile))

    def nodes(self) -> list[tuple[str, bool]]:
        """All known nodes, and whether each is up. Empty before the first call."""
        with self._guard:
            found = self._cluster.metadata.all_hosts() if self._cluster is not None else []
        return [(str(node.endpoint), node.is_up is not False) for node in found]

    def on_each(self, text: str) -> Iterator[tuple[str, list[Row]]]:
        """Run a statement on each node that is up: yields its name and rows. Virtual tables are local to a node."""
        with translated():
            session = self._session.get(self._timeout)
            for node in (one for one in session.cluster.metadata.all_hosts() if one.is_up is not False):
                found = session.execute(text, execution_profile="schema", host=node, timeout=self._timeout)
                yield str(node.endpoint), list(found)

    def datacenter(self) -> str:
        """The data centre in the URL, or that of the node we are connected to."""
        if self._where.datacenter:
            return self._where.datacenter
        ((name,),) = self.schema("SELECT data_center FROM system.local WHERE key = 'local'")
        return str(name)

    def ping(self) -> None:
        deadline = self.deadline()
        with translated():
            session = self._session.get(_left(deadline))
            with asked(STORE, "ping"):
                session.execute(_ALIVE, timeout=_left(deadline))

    def notes(self) -> list[str]:
        nodes = self.nodes()
        down = sum(not up for _, up in nodes)
        return [f"{down} of {len(nodes)} nodes are down"] if down else []

    def hosts(self) -> list[HostState]:
        with self._guard:
            nodes = self._cluster.metadata.all_hosts() if self._cluster is not None else []
        return [HostState(str(node.endpoint), "away" if node.is_up is False else "member") for node in nodes]

    def close(self) -> None:
        with self._guard:
            self._closed = True
            cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.shutdown()

    def _connect(self) -> Session:
        cluster = self._new_cluster()
        # A new session waits for nodes that do not answer even if others have, so the first timeout is short.
        cluster.connect_timeout = HANDSHAKE_SECONDS if self._tried else FIRST_HANDSHAKE_SECONDS
        self._tried = True
        try:
            session = cluster.connect()
            cluster.connect_timeout = HANDSHAKE_SECONDS
            session.default_fetch_size = PAGE
            # Every write carries the time of its event.
            session.use_client_timestamp = False
            self._adopt(cluster)
        except BaseException:
            cluster.shutdown()
            raise
        return session

    def _adopt(self, cluster: Cluster) -> None:
        with self._guard:
            if self._closed:
                raise DriverException("closed")
            self._cluster = cluster

    def _new_cluster(self) -> Cluster:
        # At INFO the driver logs every node and connection.
        LOG.setLevel(LOG.level or logging.WARNING)
        where = self._where
        return Cluster(
            answering(where, HANDSHAKE_SECONDS),
            protocol_version=PROTOCOL,
            auth_provider=PlainTextAuthProvider(where.user, where.password) if where.user else None,
            ssl_context=where.tls.context() if where.tls else None,
            execution_profiles=self._profiles(),
            reconnection_policy=ConstantReconnectionPolicy(RECONNECT_SECONDS, max_attempts=None),
            compression=False,
            control_connection_timeout=HANDSHAKE_SECONDS,
            idle_heartbeat_interval=HEARTBEAT_SECONDS,
            idle_heartbeat_timeout=HEARTBEAT_SECONDS,
            monitor_reporting_enabled=False,
        )

    def _profiles(self) -> dict[Any, ExecutionProfile]:
        policy = nodes(self._where.datacenter)
        return {
            name: ExecutionProfile(
                load_balancing_policy=policy,
                retry_policy=FallthroughRetryPolicy() if name == "schema" else NextNode(),
                consistency_level=level,
                request_timeout=SCHEMA_SECONDS if name == "schema" else self._timeout,
                row_factory=tuple_factory,
                speculative_execution_policy=None if name in ("schema", "scan", "load") else impatient(),
            )
            for name, level in self._levels.items()
        }

    def _prepare(self) -> dict[str, Any]:
        session = self._session.get(HANDSHAKE_SECONDS)
        prepared = {name: session.prepare(text) for name, text in self._texts.items()}
        for name, statement in prepared.items():
            statement.is_idempotent = True
            if name in AT_ONCE:
                statement.fetch_size = None
        self._confirm(session)
        return prepared


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())
