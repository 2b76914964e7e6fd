"""Reads on standbys: which one, and whether it has what the client wrote (decision 27).

A thread for each server asks four times a second how far its log is. A read is sent to a standby that had reached the
client's position when it was last asked; if there is none, a standby is asked again. An error on a standby does not
fail the read: it goes to the primary, within the same deadline.
"""

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Executable

from repositories import read_your_writes
from repositories.deadline import remaining, within
from repositories.driver_statements import Values
from repositories.errors import Contention, Invalid, StoreError
from repositories.postgres.batches import Batches
from repositories.postgres.deadline import BoundedConnection
from repositories.postgres.errors import is_outdated
from repositories.postgres.hosts import Connector, Hosts
from repositories.postgres.pools import Lane
from repositories.postgres.target import Conninfo
from repositories.postgres.watching import LONGEST, watch
from repositories.read_your_writes import REST_SECONDS, WAIT_SECONDS, Elsewhere, ReplicaState
from repositories.relational.postgres.errors import ROLE, translated
from repositories.relational.postgres.positions import LogState, PrimaryLog, asked, check_lost
from repositories.relational.statement_runner import AnyRow, AutocommitRunner, Runner

log = logging.getLogger(__name__)
ON_REPLICA = f"{ROLE}-replica"
_WATCH_SECONDS = 0.25
_STEP_SECONDS = 0.005


class Replica(Connector):
    """One standby with a pool of its own. `state` is None while it does not answer."""

    highest = 0

    def __init__(self, target: Conninfo, pool: int) -> None:
        self.target = target
        self.state: LogState | None = None
        self._lane = Lane(self, "replica", role=ROLE, translated=translated(), seconds=WAIT_SECONDS, size=pool)
        direct = Batches(self._lane.engine, is_outdated) if self._lane.autocommits else None
        self.runner = AutocommitRunner(self._lane.open, self._guard, direct, ON_REPLICA)
        self._waits_from = 0.0
        # By kind of read; "" stands for all kinds.
        self._rests_until: dict[str, float] = {}
        self._heard: datetime | None = None
        self._several = False

    def connect(self, keywords: dict[str, Any]) -> BoundedConnection:
        """Connect, and take over the server's state, even one that is further back: it may have been restarted."""
        connection = BoundedConnection.connect(**{**keywords, **self.target.hosts[0]})
        try:
            self.state = asked(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def answers(self, kind: str = "") -> LogState | None:
        """The replica's state, if that is recent and the replica does not rest from this kind of read."""
        state, now = self.state, time.monotonic()
        fresh = state is not None and now - state.at < _WATCH_SECONDS + LONGEST
        rests = any(now < self._rests_until.get(one, 0.0) for one in {"", kind})
        return state if fresh and not rests and not self._several else None

    def hear(self, state: LogState) -> None:
        """Take over a state from the connection that stays open. If another connection has meanwhile reached another
        server process, the name stands for several servers.
        """
        before = self.state
        if before is not None and self._heard == state.started != before.started:
            self._several = True
            log.error("%s is the name of several servers: it is not read from", self.target.server)
        self.state, self._heard = state, state.started

    def leave(self) -> None:
        self.state = None

    def rest(self, kind: str = "") -> None:
        """Keep this kind of read, or all reads, away from the replica for `REST_SECONDS`."""
        self._rests_until[kind] = time.monotonic() + REST_SECONDS

    def reach(self, position: str) -> None:
        """Ask until it has the position; only once if a wait was in vain recently. Raises `Elsewhere`."""
        until = time.monotonic() + WAIT_SECONDS
        with self._guard(), self._lane.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            while True:
                self.state = state = asked(driver)
                if state.has(position):
                    return
                now = time.monotonic()
                if now < self._waits_from:
                    raise Elsewhere("behind")
                if now + _STEP_SECONDS > until:
                    self._waits_from = now + REST_SECONDS
                    raise Elsewhere("behind")
                time.sleep(_STEP_SECONDS)

    def warm(self) -> None:
        """Open a connection in advance if none is idle: connecting may take longer than a read waits."""
        pool: Any = self._lane.engine.pool
        if pool.checkedin() == 0 and pool.checkedout() < pool.size():
            with contextlib.suppress(StoreError), translated():
                self._lane.engine.raw_connection().close()

    def close(self) -> None:
        self._lane.engine.dispose()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        with self._lane.deadline(), self._lane.slot(), translated():
            yield


class Replicas:
    """The standbys of a writer. Thread-safe. Its threads start at the first use, in the process that uses it."""

    def __init__(self, targets: Sequence[Conninfo], writer: Hosts, pool: int) -> None:
        self._writer = writer
        self._nodes = [Replica(target, pool) for target in targets]
        self._turns = itertools.count()
        self._guard = threading.Lock()
        self._closed: threading.Event | None = None
        self._threads: list[threading.Thread] = []
        self.log = PrimaryLog()

    def rows(self, kind: str, statement: Executable, values: Values, mine: read_your_writes.Seen) -> Sequence[AnyRow]:
        """Read from a replica. Raises `Elsewhere` when the primary has to answer.

        After a read that took too long, or conflicted with the replay, only reads of its kind avoid that replica for a
        while. A frozen replica is noticed by the thread that asks it.
        """
        self._check_lost(mine)
        position = mine.positions.get(ROLE, "")
        node, state = self._choose(position, kind)
        slow = False
        try:
            if not state.has(position):
                node.reach(position)
            slow = True
            found = node.runner.rows(statement, values)
        except Invalid:
            raise
        except StoreError as error:
            slow = slow and (isinstance(error, Contention) or not remaining(WAIT_SECONDS))
            node.rest(kind if slow else "")
            raise Elsewhere("failed") from error
        after = node.state
        if after is None or after.started != state.started:
            # It was restarted, and may be further back than before.
            raise Elsewhere("failed")
        return found

    def committed(self, position: str) -> None:
        """Note the position of a write of this thread's request."""
        mine = read_your_writes.writing()
        if mine is None:
            return
        self.begin()
        if position[:8] > mine.positions.get(ROLE, position)[:8]:
            self._learn(position)
            self._check_lost(mine)
        mine.note(ROLE, position)

    def states(self) -> list[ReplicaState]:
        self.begin()
        return [self._state_of(node) for node in self._nodes]

    def begin(self) -> None:
        if self._threads:
            return
        with self._guard:
            if self._closed is not None:
                return
            self._closed = closed = threading.Event()
            loops: list[Callable[[threading.Event], None]] = [self._follow_primary]
            loops += [lambda closed, node=node: self._follow(node, closed) for node in self._nodes]  # type: ignore[misc]
            for loop in loops:
                thread = threading.Thread(target=loop, args=(closed,), name="relational-replicas", daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        with self._guard:
            if self._closed is not None:
                self._closed.set()
            self._closed = None
            threads, self._threads = self._threads, []
        # The pools are closed after the threads, which open connections in them.
        for thread in threads:
            thread.join(2 * LONGEST)
        for node in self._nodes:
            node.close()

    def _choose(self, position: str, kind: str) -> tuple[Replica, LogState]:
        """Choose a replica that has the position, or else any, in turn. Raises `Elsewhere`."""
        self.begin()
        serving = [
            (node, state) for node in self._nodes if (state := node.answers(kind)) and self._state_of(node).serves
        ]
        if not serving:
            raise Elsewhere("away")
        first = next(self._turns) % len(serving)
        turned = serving[first:] + serving[:first]
        return next((one for one in turned if one[1].has(position)), turned[0])

    def _state_of(self, node: Replica) -> ReplicaState:
        """The replica's state. It does not serve if its history is not the writer's: locations are not comparable."""
        state = node.answers()
        if state is None or state.timeline < self._writer.highest or not state.shares(self.log.state):
            return ReplicaState(serves=False)
        return self.log.lag(state)

    def _check_lost(self, mine: read_your_writes.Seen) -> None:
        check_lost(self.log, mine, known=self._writer.acknowledged.counted)

    def _learn(self, position: str) -> None:
        """Ask the writer at once if the timeline of this position is not known yet."""
        if self.log.state is not None and self.log.state.position[:8] >= position[:8]:
            return
        with (
            contextlib.suppress(psycopg.Error),
            within(LONGEST),
            contextlib.closing(self._writer.connect(_keywords(self._writer.target))) as connection,
        ):
            self.log.note(asked(connection), connection)

    def _follow(self, node: Replica, closed: threading.Event) -> None:
        def ask(connection: BoundedConnection) -> None:
            node.hear(asked(connection))
            node.warm()

        watch(lambda: node.connect(_keywords(node.target)), ask, node.leave, closed, every=lambda: _WATCH_SECONDS)

    def _follow_primary(self, closed: threading.Event) -> None:
        def ask(connection: BoundedConnection) -> None:
            if connection.timeline < self._writer.highest:
                raise psycopg.OperationalError("an old primary")
            self.log.note(asked(connection), connection)

        watch(
            lambda: self._writer.connect(_keywords(self._writer.target)),
            ask,
            lambda: None,
            closed,
            every=lambda: _WATCH_SECONDS,
        )


class ReplicaRunner(Runner):
    """Reads from a replica if the request may, else from the primary, within `seconds`. `kind` names the read."""

    def __init__(self, kind: str, primary: Runner, replicas: Replicas, seconds: float) -> None:
        self._kind = kind
        self._primary = primary
        self._replicas = replicas
        self._seconds = seconds

    def rows(self, statement: Executable, values: Values) -> Sequence[AnyRow]:
        mine = read_your_writes.reading()
        if mine is None:
            return self._primary.rows(statement, values)
        with within(self._seconds):
            try:
                with within(WAIT_SECONDS):
                    found = self._replicas.rows(self._kind, statement, values, mine)
            except Elsewhere as why:
                read_your_writes.read(ROLE, elsewhere=why.reason)
                return self._primary.rows(statement, values)
        read_your_writes.read(ROLE)
        return found

    def change(self, statement: Executable, values: Values) -> int:
        return self._primary.change(statement, values)


def _keywords(target: Conninfo) -> dict[str, Any]:
    return {**target.keywords, "application_name": "quartet", "prepare_threshold": None, "autocommit": True}
