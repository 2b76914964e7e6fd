"""Keeps a slot of the pool occupied while the server may still be working on a COMMIT that was not answered in time.

A COMMIT that waits for a synchronous standby ends by no timeout, and goes on when its client disconnects. If the slot
were free, each retry would take one more of the server's connections. It is freed when the server process is gone.
"""

import contextlib
import threading
import time
from collections.abc import Callable

import psycopg

# Processes end within milliseconds of their server's return.
_WAIT_SECONDS = 0.3
_PAUSE = 0.02
# An idle one belongs to somebody else by now: on another server, or with a number that was used again.
_STILL_THERE = "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s) AND state = 'active'"


class Unanswered:
    """`connect` opens a connection of its own to the server; `free` gives one place back to the pool."""

    def __init__(self, size: int, connect: Callable[[], psycopg.Connection], free: Callable[[], None]) -> None:
        self._size = size
        self._connect = connect
        self._free = free
        self._pids: list[int] = []
        self._guard = threading.Lock()
        self._asking = threading.Lock()
        self._thread = threading.local()

    def add(self, pid: int) -> None:
        """Called by who has the place, while it has it."""
        self._thread.kept = True
        with self._guard:
            self._pids.append(pid)

    def keeps(self) -> bool:
        """Whether the place that this thread gives back is to be kept."""
        kept, self._thread.kept = getattr(self._thread, "kept", False), False
        return kept

    def settle(self) -> bool:
        """Give back the places whose processes are gone. False when none is free and all processes are there."""
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
