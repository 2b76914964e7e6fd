"""Admission control: a fixed number of requests run at once, the others wait in a bounded first-in, first-out queue.

When requests arrive faster than they are answered, some must be refused, and refusing must be cheap. The bound of the
queue is a time and not a number, since the duration of requests is not known in advance: by Little's law a queue of
`places * seconds / mean` requests takes `seconds` to work off, where the mean duration is measured. Why refusals are
delayed: docs/decisions/0030-overload.md.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]
Refuse = Callable[[Environ, Any, str], Iterable[bytes]]
# Why a request is refused: the queue is full; it has waited too long, so it is not begun.
CROWDED, LATE = "crowded", "late"
# Within the gate: `CROWDED`, after the request was held for the maximum time and there is still no spare thread.
_HELD = "held"
# The longest that a request waits, for a place or for its refusal, as a multiple of `seconds`.
PATIENCE = 3
# The longest queue, since each waiting request holds a thread; and the queue length always allowed, per place.
MOST, LEAST = 64, 8
# Threads of the server that are kept free to accept new requests. More of them would refuse no faster, but compete for
# the GIL with the threads that work, so fewer requests would be answered.
LOOKING = 3
# If there are no spare threads, the thread of a request that was held and then refused sleeps for so many seconds.
REST_SECONDS = 3.0
# The mean duration is a moving average over about this many requests.
REMEMBERED = 64


def _sleep() -> None:
    time.sleep(REST_SECONDS)


class Gate:
    """WSGI middleware: runs at most `places` requests at once. A place is free again before the body is sent."""

    def __init__(
        self,
        inner: Wsgi,
        places: int,
        *,
        seconds: float = 0,
        refuse: Refuse | None = None,
        spared: Callable[[Environ], bool] = lambda _: False,
        room: Callable[[], int] = lambda: 0,
        rest: Callable[[], None] = _sleep,
    ) -> None:
        """`seconds` is how long requests are meant to wait under overload; 0 means without limit.

        `refuse` answers the requests that are not admitted. A request for which `spared` is true is never refused and
        is queued before all others. `room` is the number of threads that waiting requests may hold: while there are
        spare ones, a request beyond the limit is held instead of refused at once. `rest` blocks the thread of a request
        that was held in vain, to take the thread out of a lasting overload.
        """
        self._inner = inner
        self._places = self._free = places
        self._seconds = seconds if refuse else 0
        self._refuse = refuse
        self._spared = spared
        self._room = room
        self._rest = rest
        # A lock and queues, since `threading`'s semaphores cost the quickest requests a quarter of their speed.
        self._guard = threading.Lock()
        # One lock per queued request, released to give it its place. `_beyond` are the requests beyond the limit, which
        # get a place only when `_waiting` is empty.
        self._waiting: deque[threading.Lock] = deque()
        self._beyond: deque[threading.Lock] = deque()
        self._resting = 0
        self._mean = 0.0

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        refused = self._enter(environ)
        if refused is not None and self._refuse is not None:
            if refused is _HELD:
                return self._send_and_rest(self._refuse(environ, start_response, CROWDED))
            return self._refuse(environ, start_response, refused)
        began = time.perf_counter()
        try:
            return self._inner(environ, start_response)
        finally:
            self._leave(time.perf_counter() - began)

    def levels(self) -> dict[str, float]:
        """The number of requests that run or wait now, and how many could without one being refused."""
        with self._guard:
            here = self._places - self._free + len(self._waiting) + len(self._beyond)
            return {"in_flight": here, "limit": self._places + self._limit()}

    def _enter(self, environ: Environ) -> str | None:
        """Wait for a place. Returns None with a place, else the reason for the refusal."""
        with self._guard:
            if self._free:
                self._free -= 1
                return None
            queue, is_spared = self._waiting, self._spared(environ)
            is_bounded = self._seconds > 0 and not is_spared
            if is_bounded and len(self._waiting) >= self._limit():
                if not self._has_room():
                    return CROWDED
                queue = self._beyond
            turn = threading.Lock()
            turn.acquire()
            (queue.appendleft if is_spared else queue.append)(turn)
        if turn.acquire(timeout=PATIENCE * self._seconds if is_bounded else -1):
            return None
        with self._guard:
            if turn not in queue:
                return None
            has_room = self._has_room()
            queue.remove(turn)
            return LATE if queue is self._waiting else CROWDED if has_room else _HELD

    def _has_room(self) -> bool:
        return len(self._waiting) + len(self._beyond) + self._resting < self._room()

    def _send_and_rest(self, answer: Iterable[bytes]) -> Iterator[bytes]:
        """Send the refusal, then rest. The client does not wait: by `Content-Length` its answer is complete."""
        yield from answer
        with self._guard:
            self._resting += 1
        try:
            self._rest()
        finally:
            with self._guard:
                self._resting -= 1

    def _leave(self, took: float) -> None:
        """Pass the place on: to the longest waiting request, else to the newest of those beyond the limit."""
        with self._guard:
            self._mean += (took - self._mean) / REMEMBERED
            if self._waiting:
                self._waiting.popleft().release()
            elif self._beyond:
                self._beyond.pop().release()
            else:
                self._free += 1

    def _limit(self) -> int:
        """The number of requests that may wait. If `seconds` is 0, the queue is unbounded, and this is only shown."""
        if not self._seconds:
            return MOST
        in_time = self._places * self._seconds / max(self._mean, 1e-6)
        return int(min(max(in_time, LEAST * self._places), MOST))
