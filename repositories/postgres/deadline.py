"""A PostgreSQL connection with a client-side deadline.

A frozen server enforces no timeout of its own, and TCP keep-alive does not notice it, because its kernel still
answers. So the client drops the connection at its deadline, or as soon as another server has taken over.
"""

import select
import time
from collections.abc import Callable
from typing import Any, LiteralString, Self, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen, PQGenConn

from repositories.deadline import remaining

T = TypeVar("T")

# Leaves the server time to report that its own statement_timeout has cancelled the statement.
_GRACE = 0.05
# The shortest wait, even when the deadline has passed.
_SHORTEST = 0.001
_DEFAULT = 5.0


class BoundedConnection(psycopg.Connection[tuple[Any, ...]]):
    """`limit` bounds each wait outside of `within`, in seconds. `timeline` is the server's at the time of connecting.

    `latest` returns the highest timeline seen on any server of this store. `unanswered` is called with the id of the
    server process when the client stops waiting for it. `transformer` is psycopg's, for values that `batches` sends.
    """

    limit = _DEFAULT
    timeline = 0
    latest: Callable[[], int] | None = None
    unanswered: Callable[[int], None] | None = None
    transformer: Any = None

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        # Waits here, because libpq's connect_timeout has a resolution of seconds and a minimum of two.
        yield from ()
        return waiting.wait_conn(super()._connect_gen(conninfo), timeout=remaining(_DEFAULT))

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        left = max(remaining(self.limit, _GRACE), _SHORTEST)
        until = time.monotonic() + left
        if self.latest:
            gen = self._until_superseded(gen)
        try:
            return super().wait(gen, interval, left if timeout is None else min(left, timeout))
        except psycopg.OperationalError:
            if (time.monotonic() >= until or self.is_superseded()) and not self.closed:
                if self.unanswered:
                    self.unanswered(self.pgconn.backend_pid)
                self.pgconn.finish()
            raise

    def is_superseded(self) -> bool:
        """Whether a server on a later timeline was seen: what this one still does is lost."""
        return self.latest is not None and 0 < self.timeline < self.latest()

    def _until_superseded(self, gen: PQGen[T]) -> PQGen[T]:
        """Wrap `gen` to check for a takeover whenever nothing has arrived for one interval of the driver."""
        try:
            wanted = next(gen)
            while True:
                came = yield wanted
                if not came and self.is_superseded():
                    raise psycopg.OperationalError("another server has taken over")
                wanted = gen.send(came)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # of the generator

    def row_alone(self, statement: LiteralString) -> tuple[Any, ...] | None:
        """The first row of a statement that is not prepared, outside of a transaction."""
        before, self.autocommit = self.autocommit, True
        try:
            return self.execute(statement, prepare=False).fetchone()
        finally:
            if not self.closed:
                self.autocommit = before

    def is_stale(self) -> bool:
        """Whether the server closed the idle connection, or sent a message on it. Costs no round trip."""
        if self.closed:
            return True
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return bool(poll.poll(0))
