"""Admission of requests: a fixed number is worked on at once, the others queue in order, and the queue is bounded.

When requests arrive faster than they are answered, some must be refused, and refusing must be cheap. The bound of the
queue is a time and not a number, since the duration of requests is not known in advance: by Little's law a queue of
`places * seconds / mean` is worked off in `seconds`, and the mean is measured. Why refusals are held back:
docs/decisions/0030-overload.md.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]
Refuse = Callable[[Environ, Any, str], Iterable[bytes]]
# Why a request is refused: too many wait already; it has waited for too long, so its work is not begun.
CROWDED, LATE = "crowded", "late"
# Within the gate: crowded, after it was held for as long as that may be, and still no thread is to spare.
_HELD = "held"
# So many times longer than is meant nobody waits, neither for a place nor for a refusal.
PATIENCE = 3
# Requests that wait at most, each of which holds a thread; and for each place those that wait in any case.
MOST, LEAST = 64, 8
# Threads of the server that are left to look at what comes. All of them want Python's lock from those that work: more
# of them refuse no faster, and less is answered.
LOOKING = 3
# Seconds for which the thread of a request that was held and refused stays away, while there are no threads to spare.
REST_SECONDS = 3.0
# The mean is of about the last so many requests.
REMEMBERED = 64


def _stay_away() -> None:
    time.sleep(REST_SECONDS)


class Gate:
    """WSGI middleware: at most `places` requests are worked on at once. Bodies are sent outside."""

    def __init__(
        self,
        inner: Wsgi,
        places: int,
        *,
        seconds: float = 0,
        refuse: Refuse | None = None,
        spared: Callable[[Environ], bool] = lambda _: False,
        room: Callable[[], int] = lambda: 0,
        rest: Callable[[], None] = _stay_away,
    ) -> None:
        """`seconds` is how long requests wait while more come than are answered; with 0 as long as it takes.

        `refuse` answers those that are not let in. Who is `spared` is never refused and waits before all others. `room`
        is how many threads may be held here: while there are fewer, who is beyond the limit is not refused at once.
        `rest` returns when a thread has been away from a load that stays for long enough.
        """
        self._inner = inner
        self._places = self._free = places
        self._seconds = seconds if refuse else 0
        self._refuse = refuse
        self._spared = spared
        self._room = room
        self._rest = rest
        # Not one of `threading`'s own semaphores, which cost the quickest requests a quarter.
        self._guard = threading.Lock()
        # A lock for each request, released when it has its place. Those beyond the limit get one if nobody waits.
        self._waiting: deque[threading.Lock] = deque()
        self._beyond: deque[threading.Lock] = deque()
        self._resting = 0
        self._mean = 0.0

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        refused = self._enter(environ)
        if refused is not None and self._refuse is not None:
            if refused is _HELD:
                return self._and_rest(self._refuse(environ, start_response, CROWDED))
            return self._refuse(environ, start_response, refused)
        began = time.perf_counter()
        try:
            return self._inner(environ, start_response)
        finally:
            self._leave(time.perf_counter() - began)

    def levels(self) -> dict[str, float]:
        """How many requests are here now, and how many might be without being refused."""
        with self._guard:
            here = self._places - self._free + len(self._waiting) + len(self._beyond)
            return {"in_flight": here, "limit": self._places + self._limit()}

    def _enter(self, environ: Environ) -> str | None:
        """Why it is refused; None when it has a place."""
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

    def _and_rest(self, answer: Iterable[bytes]) -> Iterator[bytes]:
        """What has its length in its fields is complete for the client before its thread is back."""
        yield from answer
        with self._guard:
            self._resting += 1
        try:
            self._rest()
        finally:
            with self._guard:
                self._resting -= 1

    def _leave(self, took: float) -> None:
        """Whoever has waited longest gets the place; of those beyond the limit, whoever came last."""
        with self._guard:
            self._mean += (took - self._mean) / REMEMBERED
            if self._waiting:
                self._waiting.popleft().release()
            elif self._beyond:
                self._beyond.pop().release()
            else:
                self._free += 1

    def _limit(self) -> int:
        """How many may wait. Without a bound of time, nobody is refused for their number."""
        if not self._seconds:
            return MOST
        in_time = self._places * self._seconds / max(self._mean, 1e-6)
        return int(min(max(in_time, LEAST * self._places), MOST))
