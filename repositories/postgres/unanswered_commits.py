"""Keeps a slot of the pool occupied while the server may still be working on a COMMIT that was not answered in time.

A COMMIT that waits for a synchronous standby ends by no timeout, and goes on when its client disconnects. If the slot
were free, each retry would take one more of the server's connections. It is freed when the server process is gone.
"""

import contextlib
import threading
import time
from collections.abc import Callable

import psycopg

# Processes end within milliseconds after their server is back.
_WAIT_SECONDS = 0.3
_PAUSE = 0.02
# An idle process is another one: it is on another server, or has a reused id.
_STILL_THERE = "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s) AND state = 'active'"


class Unanswered:
    """`connect` opens a connection outside of the pool; `free` releases one slot of the pool."""

    def __init__(self, size: int, connect: Callable[[], psycopg.Connection], free: Callable[[], None]) -> None:
        self._size = size
        self._connect = connect
        self._free = free
        self._pids: list[int] = []
        self._guard = threading.Lock()
        self._asking = threading.Lock()
        self._thread = threading.local()

    def add(self, pid: int) -> None:
        """Keep this thread's slot for the process `pid`. Called while the thread holds the slot."""
        self._thread.kept = True
        with self._guard:
            self._pids.append(pid)

    def keeps(self) -> bool:
        """Whether the slot that this thread gives up stays occupied. Clears that mark of the thread."""
        kept, self._thread.kept = getattr(self._thread, "kept", False), False
        return kept

    def settle(self) -> bool:
        """Release the slots whose processes are gone. False if processes that are still there occupy all slots."""
        if not self._pids:
            return True
        if self._asking.acquire(blocking=False):
            try:
                with contextlib.suppress(psycopg.Error), contextlib.closing(self._connect()) as connection:
                    self._ask(connection)
            finally:
                self._asking.release()
        with self._guard:
            return len(self._pids) < self._size

    def _ask(self, connection: psycopg.Connection) -> None:
        connection.autocommit = True
        until = time.monotonic() + _WAIT_SECONDS
        while self._pids and time.monotonic() < until:
            asked = list(self._pids)
            rows = connection.execute(_STILL_THERE, [asked], prepare=False)
            there = {pid for (pid,) in rows}
            for pid in asked:
                if pid not in there:
                    with self._guard:
                        self._pids.remove(pid)
                    self._free()
            if there:
                time.sleep(_PAUSE)
