"""Pages in the memory of a process, leased to it by the cache's store for milliseconds.

Pattern: near cache with leases on reads (Gray and Cheriton, "Leases: An Efficient Fault-Tolerant Mechanism for
Distributed File Cache Consistency", SOSP 1989). A page may be answered from memory until `TERM` seconds after the
moment at which it was last asked for. The store notes the lease; whoever ends something that is leased waits until that
time is over, so no reader anywhere gets the old page after a write's answer. No messages are sent, and no two clocks
are compared: all that is assumed is that they run alike for milliseconds.
"""

import time
from collections.abc import Callable

from repositories.hot.port import Held

# All processes that share a store must have the same.
TERM = 0.010
# Clocks run apart by much less than a tenth.
WAIT = TERM * 1.1
# What this process was not asked for twice within so many seconds is not leased, so writes need not wait for it.
HOT_SECONDS = 0.05
# How much is held in memory, each page counting as its body and this.
BYTES, EACH = 16 << 20, 1024


class _Page:
    """`renew` is when the first who comes asks again, while others go on with this until `until`."""

    __slots__ = ("asked", "held", "renew", "until")

    def __init__(self, held: Held, asked: float, term: float) -> None:
        self.held = held
        self.asked = asked
        self.renew = asked + term / 2
        self.until = asked + term


class Near:
    """Thread-safe. `pause` waits; both it and `clock` count seconds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._pause = pause
        self._pages: dict[str, _Page] = {}
        self._bytes = 0

    def get(self, key: str, ask: Callable[[bool], Held | None]) -> Held | None:
        """The page, from memory or from `ask`, whose argument says whether to take a read lease."""
        now = self._clock()
        page = self._pages.get(key)
        if page is not None and now < page.until:
            if now < page.renew:
                return page.held
            page.renew = page.until
        read_lease = page is not None and now - page.asked < HOT_SECONDS
        held = ask(read_lease)
        if held is None:
            self._pages.pop(key, None)
        else:
            self._keep(key, _Page(held, now, TERM if read_lease else 0.0))
        return held

    def forget(self) -> None:
        self._pages.clear()
        self._bytes = 0

    def outwait(self) -> None:
        """From its return on nobody has what was leased before the call."""
        self.forget()
        self._pause(WAIT)

    def _keep(self, key: str, page: _Page) -> None:
        """Where there is no room all is forgotten: it is of no use in a moment."""
        if key not in self._pages:
            self._bytes += EACH + len(page.held.value.body or b"")
            if self._bytes > BYTES:
                self.forget()
        self._pages[key] = page
