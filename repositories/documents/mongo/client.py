"""The connection to MongoDB: opened in the worker process that uses it, with a deadline over every call.

Writes are acknowledged once a majority has journaled them; reads go to the primary and see majority-committed data. The
driver's retries are off, and this module waits for a primary itself: the driver would exceed the deadline, since it
waits for a primary in steps of half a second.
"""

import contextlib
import contextvars
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import pymongo
from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from repositories import pool_registry
from repositories.deadline import at_most
from repositories.documents.mongo.errors import ROLE, lost_race, translated
from repositories.documents.mongo.monitoring import CommandWatch, PoolWatch
from repositories.documents.mongo.target import target_of
from repositories.errors import Contention, ReadOnly, Unavailable
from repositories.read_your_writes import HostState, ServerState

Document = dict[str, Any]
Result = TypeVar("Result")

_STATES: dict[str, ServerState] = {
    "RSPrimary": "primary",
    "RSSecondary": "replica",
    "Mongos": "member",
    "Standalone": "primary",
}
DEFAULT_DATABASE = "quartet"
LONGEST_PAUSE = 0.05
LINES = 64
HEARTBEAT = 1000  # milliseconds: the longest until a primary that is back is noticed
GLANCE = 0.005
SHORTEST = 0.001
ABORT_SHARE = 0.25  # of a call's timeout: how long an abort may take in addition, if the server answers
MONITORS = 2  # connections per process on which the driver monitors a server
UNAUTHORIZED = 13


class MongoConnection:
    """Thread-safe. Everything that talks to the server runs inside `calling`."""

    def __init__(self, url: str, *, timeout: timedelta, pool: int) -> None:
        self._url = url
        self.seconds = timeout.total_seconds()
        self._pool = pool
        self._guard = threading.Lock()
        self._lines = [threading.Lock() for _ in range(LINES)]
        self._client: MongoClient[Document] | None = None
        self._unended: list[Mapping[str, Any]] = []
        self._watch = PoolWatch()
        self.commands = CommandWatch(lambda: self.client)
        self.store, self.lane, self.size, self.beside = ROLE, "calls", pool, MONITORS
        self.server = target_of(url).server
        pool_registry.opened(self)

    @property
    def client(self) -> MongoClient[Document]:
        with self._guard:
            if self._client is None:
                self._client = self._connect()
            return self._client

    @property
    def database(self) -> Database[Document]:
        return self.client.get_default_database(DEFAULT_DATABASE)

    def collection(self, name: str) -> Collection[Document]:
        return self.database[name]

    @contextlib.contextmanager
    def calling(self, *, seconds: float | None = None) -> Iterator[None]:
        """Put one deadline over the block, and translate the driver's errors to those of the ports."""
        try:
            # pymongo takes a timeout of 0 as no timeout.
            limit = max(at_most(seconds or self.seconds), SHORTEST)
            with pymongo.timeout(limit):
                self._find_primary(time.monotonic() + limit)
                if self._unended:
                    self._end_sessions()
                yield
        except (PyMongoError, BSONError, OverflowError, UnicodeError) as error:
            raise translated(error) from error

    def transaction(self, work: Callable[[ClientSession], Result], *, of: Hashable) -> Result:
        """Run `work` in a transaction; after a conflict retry it with jitter until the deadline.

        Transactions of this process with the same `of` run one at a time, since they would only conflict with each
        other. Raises `Contention` if the deadline passes before its turn.
        """
        seconds = at_most(self.seconds)
        ends = time.monotonic() + seconds
        line = self._lines[hash(of) % len(self._lines)]
        if not line.acquire(timeout=seconds):
            raise Contention("others were in line for too long")
        try:
            with self.calling(seconds=max(ends - time.monotonic(), SHORTEST)):
                return self._attempts(work, ends)
        finally:
            line.release()

    def in_use(self) -> int:
        return self._watch.in_use

    def room(self) -> pool_registry.Room | None:
        """The server's free connections plus those of this process. None without the privilege `serverStatus`."""
        try:
            with self.calling():
                found = self.client.admin.command("serverStatus")["connections"]
        except Unavailable as refused:
            if getattr(refused.__cause__, "code", None) == UNAUTHORIZED:
                return None
            raise
        free, own = found["available"], self._watch.open + MONITORS
        return pool_registry.Room(free + own, f"{free} connections are available beside {own} of this process")

    def close(self) -> None:
        with self._guard:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _find_primary(self, ends: float) -> None:
        while not self.client.topology_description.has_writable_server():
            if time.monotonic() > ends:
                servers = self.client.topology_description.server_descriptions().values()
                answers = any(server.server_type_name == "RSSecondary" for server in servers)
                kind = ReadOnly if answers else Unavailable
                raise kind(ROLE, f"there is no primary{self._server_states()}")
            time.sleep(GLANCE)

    def notes(self) -> list[str]:
        """As `Store.notes`: whether members do not answer, by the latest findings of the driver's monitors."""
        with self._guard:
            known = self._client.topology_description.server_descriptions() if self._client is not None else {}
        away = sum(server.server_type_name == "Unknown" for server in known.values())
        return [f"{away} of {len(known)} members do not answer"] if away else []

    def hosts(self) -> list[HostState]:
        with self._guard:
            known = self._client.topology_description.server_descriptions() if self._client is not None else {}
        return [
            HostState(f"{host}:{port}", _STATES.get(s.server_type_name, "away")) for (host, port), s in known.items()
        ]

    def _server_states(self) -> str:
        """Why no server is the primary: for each its error or type, and the expected name of the replica set."""
        found = self.client.topology_description
        said = [
            f"{host}:{port} says {str(server.error or server.server_type_name).split(' (configured timeouts')[0]}"
            for (host, port), server in found.server_descriptions().items()
        ]
        wanted = f" of the replica set {found.replica_set_name}" if found.replica_set_name else ""
        return f"{wanted}: {'; '.join(said) or 'no server is known'}"

    def _attempts(self, work: Callable[[ClientSession], Result], ends: float) -> Result:
        pause = 0.001
        while True:
            try:
                return self._attempt(work)
            except OperationFailure as error:
                pause = min(pause * 2, LONGEST_PAUSE)
                if not lost_race(error) or time.monotonic() + pause > ends:
                    raise
            time.sleep(random.uniform(0, pause))  # noqa: S311  jitter, not a secret

    def _attempt(self, work: Callable[[ClientSession], Result]) -> Result:
        session = self.client.start_session()
        try:
            session.start_transaction(ReadConcern("snapshot"))
            done = work(session)
            session.commit_transaction()
        except PyMongoError as error:
            self._abandon(session, answered=not isinstance(error, ConnectionFailure))
            raise
        except BaseException:
            self._abandon(session, answered=True)
            raise
        session.end_session()
        return done

    def _abandon(self, session: ClientSession, *, answered: bool) -> None:
        """Abort under a separate deadline, since the call's may have passed: an open transaction locks documents.

        If the server does not answer, its session is killed by the first call after it answers again.
        """
        lsid = session.session_id
        seconds = max(at_most(self.seconds * ABORT_SHARE), GLANCE) if answered else SHORTEST
        contextvars.Context().run(_abort, session, seconds)
        if not answered:
            with self._guard:
                self._unended.append(lsid)

    def _end_sessions(self) -> None:
        with self._guard:
            sessions, self._unended = self._unended, []
        try:
            self.client.admin.command("killSessions", sessions)
        except PyMongoError:
            with self._guard:
                self._unended += sessions
            raise

    def _connect(self) -> MongoClient[Document]:
        milliseconds = max(1, round(self.seconds * 1000))
        return MongoClient(
            self._url,
            appname="quartet",
            connectTimeoutMS=milliseconds,
            event_listeners=[self.commands, self._watch],
            heartbeatFrequencyMS=HEARTBEAT,
            journal=True,
            maxPoolSize=self._pool,
            readConcernLevel="majority",
            readPreference="primary",
            retryReads=False,
            retryWrites=False,
            serverSelectionTimeoutMS=milliseconds,
            timeoutMS=milliseconds,
            uuidRepresentation="standard",
            w="majority",
            waitQueueTimeoutMS=milliseconds,
        )


def _abort(session: ClientSession, seconds: float) -> None:
    with pymongo.timeout(seconds):
        session.end_session()
