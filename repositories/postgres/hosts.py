"""Which of a URL's hosts is the writer: the one not in recovery, on the highest timeline that was ever seen.

PostgreSQL counts timelines up with each promotion, so an old primary that comes back has a lower one. Nothing
is written there: it would be lost.
"""

import contextlib
import logging
import threading
from typing import Any, Protocol

import psycopg
from msgspec import Struct
from psycopg.conninfo import conninfo_attempts

from repositories.deadline import remaining, within
from repositories.postgres.deadline import BoundedConnection
from repositories.postgres.server_timelines import Acknowledged
from repositories.postgres.target import Conninfo
from repositories.postgres.watching import LONGEST, watch
from repositories.read_your_writes import HostState, ServerState

log = logging.getLogger(__name__)
_DEFAULT = 5.0
# Between two looks at a host, while a writer is known and while none is.
_WATCH_SECONDS, _SEARCH_SECONDS = 0.5, 0.1
# The share of the time for connecting that the first look at all hosts may take.
_LOOK_SHARE = 0.5
# The timeline is not read from the control file, where it is late after a promotion.
_ROLE = """
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,
  CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END,
  CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_flush_lsn() - '0/0')::bigint END
"""
# For servers without these functions, such as Aurora.
_PLAIN_ROLE = "SELECT current_setting('transaction_read_only')::bool, NULL, NULL"


class NotWritable(psycopg.OperationalError):
    """A host answers and may not be written to."""


class Role(Struct, frozen=True):
    """What a server says of itself. `timeline` is 0 if it does not say, such as a standby."""

    writable: bool
    timeline: int


class Connector(Protocol):
    """Opens connections for a pool. A connection to a server on a timeline below `highest` is not used any more."""

    target: Conninfo
    highest: int

    def connect(self, keywords: dict[str, Any]) -> BoundedConnection: ...


class Hosts(Connector):
    """Opens connections to the writer. Thread-safe. With several hosts, one thread each asks them twice a second."""

    def __init__(self, target: Conninfo, role: str) -> None:
        """`role` is the server's role, for the log."""
        self.target = target
        self.acknowledged = Acknowledged(role)
        self._guard = threading.Lock()
        self._roles: list[Role | None] = [None] * len(target.hosts)
        self._looked = [threading.Event() for _ in target.hosts]
        self._closed: threading.Event | None = None
        # The host that was last connected to comes first.
        self._order = list(range(len(target.hosts)))
        self.highest = 0

    def connect(self, keywords: dict[str, Any]) -> BoundedConnection:
        """Connect to the writer. Each attempt gets an equal share of the remaining time.

        Raises `psycopg.OperationalError`.
        """
        if len(self._order) > 1:
            self._look()
        places = [(host, place) for host in self._best_first() for place in self._places(host, keywords)]
        failures: list[psycopg.OperationalError] = []
        for left, (host, place) in zip(range(len(places), 0, -1), places, strict=True):
            try:
                with within(remaining(_DEFAULT) / left):
                    return self._writer(host, {**keywords, **place})
            except psycopg.OperationalError as error:
                failures.append(error)
        raise next((error for error in failures if isinstance(error, NotWritable)), failures[-1])

    def look_again(self) -> None:
        """Connect to the writer to learn its timeline."""
        with contextlib.suppress(psycopg.Error), within(LONGEST):
            self.connect({**self.target.keywords, "application_name": "quartet", "prepare_threshold": None}).close()

    def notes(self) -> list[str]:
        """Problems, one line each, without names."""
        with self._guard:
            roles = list(self._roles) if self._closed else []
        away = sum(role is None for role in roles)
        stale = [role.timeline for role in roles if role and self._is_stale(role)]
        return [f"{away} of {len(roles)} hosts do not answer"] * bool(away) + [
            f"a second primary is up, on timeline {timeline} where {self.highest} has been seen" for timeline in stale
        ]

    def states(self) -> list[HostState]:
        with self._guard:
            roles, watched = list(self._roles), self._closed is not None
        return [
            HostState(self._name_of(host), self._state_of(role, watched=watched))
            for host, role in zip(self.target.hosts, roles, strict=True)
        ]

    def _name_of(self, host: dict[str, Any]) -> str:
        named = host.get("host") or host.get("hostaddr")
        return ":".join(filter(None, (named, host.get("port")))) if named else self.target.server

    def _state_of(self, role: Role | None, *, watched: bool) -> ServerState:
        if role is None:
            return "away" if watched else "not connected"
        return "stale primary" if self._is_stale(role) else "primary" if role.writable else "replica"

    def close(self) -> None:
        with self._guard:
            if self._closed:
                self._closed.set()
            self._closed = None

    def _places(self, host: int, keywords: dict[str, Any]) -> list[dict[str, Any]]:
        """The addresses of a host: a name may have several. A name that has none now fails on connecting."""
        own = self.target.hosts[host]
        try:
            found = conninfo_attempts({**keywords, **own})
        except psycopg.OperationalError:
            return [own]
        return [{name: place[name] for name in ("host", "hostaddr", "port") if name in place} for place in found]

    def _writer(self, host: int, keywords: dict[str, Any]) -> BoundedConnection:
        connection = BoundedConnection.connect(**keywords)
        try:
            role, _ = _read_role(connection)
            self._note(host, role)
            self._require_writer(role)
            self.acknowledged.connected(role.timeline, connection)
        except BaseException:
            connection.close()
            raise
        connection.timeline = role.timeline
        with self._guard:
            self._order.remove(host)
            self._order.insert(0, host)
        return connection

    def _require_writer(self, role: Role) -> None:
        if not role.writable:
            raise NotWritable("the server takes no writes, as a standby does")
        if self._is_stale(role):
            raise NotWritable(f"an old primary, on timeline {role.timeline} where {self.highest} has been seen")

    def _best_first(self) -> list[int]:
        """Writers first, by their timeline; then those that do not answer, which may be back; then standbys."""
        with self._guard:
            return sorted(self._order, key=self._rank)

    def _rank(self, host: int) -> tuple[int, int]:
        role = self._roles[host]
        if role is None:
            return 1, 0
        return (0, -role.timeline) if role.writable else (2, 0)

    def _is_stale(self, role: Role) -> bool:
        return role.writable and 0 < role.timeline < self.highest

    def _note(self, host: int, role: Role | None) -> None:
        with self._guard:
            before, self._roles[host] = self._roles[host], role
            if role and role.timeline > self.highest:
                self.highest = role.timeline
        if role and role != before and self._is_stale(role):
            log.error(
                "%s is an old primary on timeline %d, where %d has been seen: nothing is written there; fence it",
                self.target.hosts[host].get("host"),
                role.timeline,
                self.highest,
            )

    def _look(self) -> None:
        """Start watching all hosts the first time, and wait for their answers: comparing these shows the writer."""
        with self._guard:
            if self._closed is None:
                self._closed = threading.Event()
                for host in range(len(self._order)):
                    name = f"relational-host-{host}"
                    threading.Thread(target=self._watch, args=(host, self._closed), name=name, daemon=True).start()
        with within(remaining(_DEFAULT) * _LOOK_SHARE):
            for looked in self._looked:
                looked.wait(remaining(_DEFAULT))
                # A host that has not answered by now is not waited for again.
                looked.set()

    def _watch(self, host: int, closed: threading.Event) -> None:
        def connect() -> BoundedConnection:
            return BoundedConnection.connect(
                **{**self.target.keywords, **self.target.hosts[host]},
                application_name="quartet",
                prepare_threshold=None,
            )

        def note(role: Role | None) -> None:
            self._note(host, role)
            self._looked[host].set()

        def ask(connection: BoundedConnection) -> None:
            role, location = _read_role(connection)
            note(role)
            if role.writable:
                self.acknowledged.looked(role.timeline, location)

        watch(connect, ask, lambda: note(None), closed, every=self._pause)

    def _pause(self) -> float:
        with self._guard:
            known = any(role and role.writable and role.timeline >= self.highest for role in self._roles)
        return _WATCH_SECONDS if known else _SEARCH_SECONDS


def _read_role(connection: BoundedConnection) -> tuple[Role, int]:
    """The server's role, and the location up to which its log is flushed; 0 if it does not say."""
    try:
        row = connection.row_alone(_ROLE)
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFunction, psycopg.errors.InsufficientPrivilege):
        row = connection.row_alone(_PLAIN_ROLE)
    read_only, file, location = row or (True, None, None)
    return Role(not read_only, int(file[:8], 16) if file else 0), location or 0
