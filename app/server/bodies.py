"""Receives the body of a request before the request is admitted: within a deadline, and few at once per address.

In WSGI the application reads the body, and a client that stays silent blocks that read for ever. Only closing the
connection ends the read, and the blocked thread is the one that has to answer. So a connection whose client is silent
for too long is shut down for reading (`misbehaving_clients.shut_silent`); the answer can still be sent.

granian reports a truncated chunked body as a complete one, except to a read of the whole body, which then returns
nothing. That read has no size limit, so connections that send too much are closed (`misbehaving_clients.Floods`).
"""

import io
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from app.server.misbehaving_clients import Floods

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]
# The most bodies that one process waits for at once, in all and from one address.
MOST, EACH = 64, 16
# Keys in the WSGI environ: why there is no body, or not all of it; and how many threads still read long after the
# deadline, and so count as lost.
WITHOUT, LOST = "quartet.without", "quartet.lost"
LATE, CROWDED, FULL = "late", "crowded", "full"
# Bytes per read. A read blocks until it has them, so a client that sends single bytes is checked after each piece.
PIECE = 16
# The most bytes of all chunked bodies being received, and the seconds between two checks of how many have arrived.
IN_CHUNKS, LOOK = 64 * 1024 * 1024, 0.05
# A check asks the kernel about each connection. The pause after it is at least this many times its own processor time.
REST = 4
# Prefixes of keys of a WSGI environ. granian copies the process's environment into the environ of each request.
FOREIGN = ("HTTP_", "CONTENT_", "REMOTE_", "quartet.", "wsgi.", "werkzeug.")


def hide_environment() -> None:
    """Remove the variables from this process's environment that would look like a part of every request."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]


class Arrivals:
    """WSGI middleware that receives bodies.

    `inner` gets the request with its whole body, or with the reason why not (`WITHOUT`), and has to answer both.
    """

    def __init__(
        self,
        inner: Wsgi,
        address: Callable[[Environ], str],
        limit: int,
        seconds: float,
        give_up: Callable[[], None],
        floods: Floods,
    ) -> None:
        """`limit` is the largest body in bytes, `seconds` the time it may take. `address` gives a request's client.

        `give_up` is called to end the reads that have taken longer than `seconds`.
        """
        self._inner = inner
        self._address = address
        self._limit = limit
        self._seconds = seconds
        self._give_up = give_up
        self._floods = floods
        self._in_chunks = 0
        self._in_chunks_began = threading.Event()
        self._guard = threading.Condition()
        self._waiting: dict[int, tuple[str, float]] = {}
        self._watched = False

    @property
    def waiting(self) -> int:
        """The number of requests whose body is being received."""
        return len(self._waiting)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if self._waiting:
            environ[LOST] = self._overdue(2 * self._seconds)
        if self._is_coming(environ):
            self._receive(environ)
        return self._inner(environ, start_response)

    def _is_coming(self, environ: Environ) -> bool:
        """Whether a body has to be received. One announced as too long is not: the application refuses it unread."""
        length = environ.get("CONTENT_LENGTH") or "0"
        return "HTTP_TRANSFER_ENCODING" in environ or (length.isdecimal() and 0 < int(length) <= self._limit)

    def _receive(self, environ: Environ) -> None:
        began, who = time.monotonic(), self._address(environ)
        refused = self._take(who, began)
        if refused:
            environ[WITHOUT] = refused
            return
        read = self._read_chunks if "HTTP_TRANSFER_ENCODING" in environ else self._read
        try:
            found = read(environ["wsgi.input"], began + self._seconds)
        finally:
            with self._guard:
                del self._waiting[threading.get_ident()]
        if found is None:
            environ[WITHOUT] = LATE
        else:
            environ["wsgi.input"] = io.BytesIO(found)

    def _read(self, body: Any, until: float) -> bytes | None:
        """Read to the end, or one byte beyond the limit; None if that took too long."""
        parts, left = [], self._limit + 1
        while left and (part := body.read(min(left, PIECE))):
            parts.append(bytes(part))
            left -= len(part)
            if time.monotonic() > until:
                return None
        return None if time.monotonic() > until else b"".join(parts)

    def _read_chunks(self, body: Any, until: float) -> bytes | None:
        """As `_read`, for a chunked body, whose length is known only at its end; empty if it was truncated."""
        with self._guard:
            self._in_chunks += 1
        self._in_chunks_began.set()
        try:
            found = bytes(body.read())
        finally:
            with self._guard:
                self._in_chunks -= 1
        return None if time.monotonic() > until else found[: self._limit + 1]

    def _take(self, who: str, now: float) -> str | None:
        """Take a place for a body of client `who`. Returns None, or why there is none."""
        with self._guard:
            if sum(one == who for one, _ in self._waiting.values()) >= EACH:
                return CROWDED
            if len(self._waiting) >= MOST:
                return FULL
            self._waiting[threading.get_ident()] = who, now
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._watch, name="bodies", daemon=True).start()
            self._guard.notify()
            return None

    def _watch(self) -> None:
        pause = threading.Event()
        while True:
            with self._guard:
                self._guard.wait_for(lambda: self._waiting)
            if in_chunks := self._in_chunks:
                began = time.thread_time()
                self._floods.end(IN_CHUNKS // in_chunks)
                pause.wait(max(LOOK, REST * (time.thread_time() - began)))
            else:
                self._floods.forget()
                self._in_chunks_began.wait(self._seconds / 4)
                self._in_chunks_began.clear()
            if self._overdue(self._seconds):
                self._give_up()

    def _overdue(self, seconds: float) -> int:
        before = time.monotonic() - seconds
        with self._guard:
            return sum(began < before for _, began in self._waiting.values())
