"""Reads on secondaries, in causally consistent sessions, in which a client sees its own writes (decision 27).

The server delays such a read until it has applied the client's last write. Read concern majority alone does not ensure
that: the majority commit point reaches a secondary later than the data.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import pymongo
from bson.errors import BSONError
from bson.timestamp import Timestamp
from pymongo.collection import Collection
from pymongo.errors import PyMongoError
from pymongo.read_preferences import Secondary
from pymongo.server_description import ServerDescription

from repositories import read_your_writes
from repositories.deadline import at_most, within
from repositories.documents.mongo.client import SHORTEST, Document, MongoConnection
from repositories.documents.mongo.errors import ROLE, translated
from repositories.documents.port import DocumentStore
from repositories.errors import Contention, Unavailable
from repositories.read_your_writes import MAY_LAG, REST_SECONDS, WAIT_SECONDS, Elsewhere, ReplicaState

P = ParamSpec("P")
T = TypeVar("T")
# Maximum staleness in seconds: the smallest that the driver allows.
LATEST = 90
INVALID_OPTIONS = 72
# Digits of each part of a position: seconds since 1970, and a number within the second.
PART = 12


class SecondaryConnection(MongoConnection):
    """Shares the client of `primary`, for reads that secondaries answer within `WAIT_SECONDS`."""

    def __init__(self, primary: MongoConnection) -> None:
        self._primary, self.seconds = primary, WAIT_SECONDS

    def collection(self, name: str) -> Collection[Document]:
        return self._primary.database.get_collection(name, read_preference=Secondary(max_staleness=LATEST))

    @contextlib.contextmanager
    def calling(self, *, seconds: float | None = None) -> Iterator[None]:
        mine = read_your_writes.reading()
        position = mine.positions.get(ROLE) if mine else None
        try:
            with (
                pymongo.timeout(max(at_most(seconds or WAIT_SECONDS), SHORTEST)),
                self._primary.commands.on_replica(),
                self._primary.client.start_session(causal_consistency=True).bind() as session,
            ):
                if position:
                    session.advance_operation_time(Timestamp(int(position[:PART], 16), int(position[PART:], 16)))
                yield
        except (PyMongoError, BSONError, OverflowError, UnicodeError) as error:
            raise translated(error) from error


class Tries:
    """The outcome of earlier reads by one method; per method, since a slow query does not predict other ones."""

    def __init__(self) -> None:
        # The highest position that a read has found on a secondary. Until `waits_from` reads with later positions are
        # not tried there; until `rests_until` none is. Both by `clock`.
        self.reached = ""
        self.waits_from = self.rests_until = 0.0


class Secondaries:
    """Decides which reads to try on secondaries. Outcomes of earlier reads are not shared between processes."""

    def __init__(self, primary: MongoConnection, clock: Callable[[], float] = time.monotonic) -> None:
        self._primary = primary
        self._clock = clock
        self._rests_until = 0.0
        self._primary_seen = -LATEST * 1.0

    def states(self) -> list[ReplicaState]:
        """The states of all members except the primary."""
        servers = self._servers()
        newest = max((server.last_write_date or 0.0 for server in servers), default=0.0)
        others = [server for server in servers if server.server_type_name != "RSPrimary"]
        return [
            ReplicaState(_serves(one), newest - one.last_write_date if one.last_write_date else None) for one in others
        ]

    def read(self, late: Callable[P, T], primary: Callable[P, T]) -> Callable[P, T]:
        """A method that calls `late` (on a secondary) if the request allows it, otherwise or after a failure `primary`;
        within one deadline.
        """
        tries = Tries()

        @functools.wraps(primary)
        def read(*args: P.args, **kwargs: P.kwargs) -> T:
            mine = read_your_writes.reading()
            if mine is None:
                return primary(*args, **kwargs)
            with within(self._primary.seconds):
                try:
                    found = self._try(tries, mine.positions.get(ROLE, ""), lambda: late(*args, **kwargs))
                except Elsewhere as why:
                    read_your_writes.read(ROLE, elsewhere=why.reason)
                    return primary(*args, **kwargs)
            read_your_writes.read(ROLE)
            return found

        return read

    def _try(self, tries: Tries, position: str, read: Callable[[], T]) -> T:
        servers, now = self._servers(), self._clock()
        secondaries = [server for server in servers if _serves(server)]
        if any(server.server_type_name == "RSPrimary" for server in servers):
            self._primary_seen = now
        # Without a primary the driver measures staleness among the secondaries, which may all be far behind.
        alone = now - self._primary_seen >= LATEST
        if not secondaries or alone or now < max(self._rests_until, tries.rests_until):
            raise Elsewhere("away")
        if now < tries.waits_from and not _has_applied(tries, position, secondaries):
            raise Elsewhere("behind")
        try:
            found = read()
        except (Unavailable, Contention) as error:
            raise self._failed(tries, position, error) from error
        tries.reached = max(tries.reached, position)
        return found

    def _failed(self, tries: Tries, position: str, error: Exception) -> Elsewhere:
        """Pause further tries, and return why to read from the primary. A timeout with a position counts as a secondary
        that is behind, although the read itself may have been slow.
        """
        cause = error.__cause__
        until = self._clock() + REST_SECONDS
        if isinstance(cause, PyMongoError) and cause.timeout:
            if position:
                tries.reached, tries.waits_from = "", until
                return Elsewhere("behind")
            tries.rests_until = until
        # INVALID_OPTIONS: the position is in the future. It is from another replica set, or from writes that were lost.
        elif not (position and getattr(cause, "code", None) == INVALID_OPTIONS):
            self._rests_until = until
        return Elsewhere("failed")

    def _servers(self) -> list[ServerDescription]:
        return list(self._primary.client.topology_description.server_descriptions().values())


def read_elsewhere(store: DocumentStore, primary: MongoConnection) -> Secondaries:
    """Let the methods in `MAY_LAG` of this store read on secondaries."""
    secondaries, connection = Secondaries(primary), SecondaryConnection(primary)
    for name, methods in MAY_LAG[ROLE].items():
        part = getattr(store, name)
        late = type(part)(connection)
        for method in methods:
            setattr(part, method, secondaries.read(getattr(late, method), getattr(part, method)))
    return secondaries


def _has_applied(tries: Tries, position: str, secondaries: list[ServerDescription]) -> bool:
    seconds = int(position[:PART] or "0", 16)
    return position <= tries.reached or all(seconds < (one.last_write_date or 0.0) - 1 for one in secondaries)


def _serves(server: ServerDescription) -> bool:
    return bool(server.server_type_name == "RSSecondary")
