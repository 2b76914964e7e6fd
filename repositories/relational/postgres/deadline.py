"""A PostgreSQL connection that gives up on a silent server.

The server's own timeouts do not help against one that is frozen, nor does TCP's: the kernel below it still
answers. So the client waits no longer than its deadline, and then drops the connection.
"""

import contextlib
import select
import threading
import time
from collections.abc import Iterator
from typing import Any, Self, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen, PQGenConn

T = TypeVar("T")

# The server cancels an overlong statement by itself, in an orderly way, if it is given the time to say so.
_GRACE = 0.05
_DEFAULT = 5.0

_thread = threading.local()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Whatever this thread asks of a server inside the block has to be answered in so many seconds in all."""
    outer: float | None = getattr(_thread, "until", None)
    _thread.until = time.monotonic() + seconds
    try:
        yield
    finally:
        _thread.until = outer


def remaining(default: float) -> float:
    """Seconds left in the block of `within`, or `default` outside of one."""
    until: float | None = getattr(_thread, "until", None)
    return default if until is None else max(0.0, until - time.monotonic())


class BoundedConnection(psycopg.Connection[tuple[Any, ...]]):
    """`limit` is what each wait may take outside of `within`."""

    limit = _DEFAULT

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        # The waiting is done here, because libpq counts in whole seconds, of which it takes two at least.
        yield from ()
        return waiting.wait_conn(super()._connect_gen(conninfo), timeout=remaining(_DEFAULT))

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        left = remaining(self.limit) + _GRACE
        until = time.monotonic() + left
        try:
            return super().wait(gen, interval, left if timeout is None else min(left, timeout))
        except psycopg.OperationalError:
            if time.monotonic() >= until:
                self.pgconn.finish()
            raise

    def is_stale(self) -> bool:
        """Whether the server has hung up, or said a last word, while the connection lay idle. Costs no round trip."""
        if self.closed:
            return True
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return bool(poll.poll(0))
