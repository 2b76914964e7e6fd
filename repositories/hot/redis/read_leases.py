"""A cache of pages in the memory of a process, under leases of some milliseconds from the cache's store.

Pattern: near cache with leases on reads (Gray and Cheriton, "Leases: An Efficient Fault-Tolerant Mechanism for
Distributed File Cache Consistency", SOSP 1989). A page may be answered from memory until `TERM` seconds after it was
last requested from the store. The store records the lease. A write that invalidates something leased waits until the
lease has ended, so no reader gets the old page after the write was answered. No messages are sent, and no clocks are
compared: the only assumption is that clocks run at about the same speed for milliseconds.
"""

import time
from collections.abc import Callable

from repositories.hot.port import Held

# All processes that share a store must have the same.
TERM = 0.010
# With a margin: the speeds of clocks differ by much less than a tenth.
WAIT = TERM * 1.1
# Only a page that is requested twice within this time is leased, so that writes do not wait for rarely read pages.
HOT_SECONDS = 0.05
# The most bytes in memory, and what a page counts in addition to its body.
BYTES, EACH = 16 << 20, 1024


class _Page:
    """From `renew` on the first request asks the store again, while others still get this page until `until`."""

    __slots__ = ("asked", "held", "renew", "until")

    def __init__(self, held: Held, asked: float, term: float) -> None:
        self.held = held
        self.asked = asked
        self.renew = asked + term / 2
        self.until = asked + term


class Near:
    """The pages in memory. Thread-safe. `clock` returns seconds, and `pause` sleeps for seconds."""

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
        """Wait until all leases taken before the call have ended, in all processes."""
        self.forget()
        self._pause(WAIT)

    def _keep(self, key: str, page: _Page) -> None:
        """Store a page. If there is no room, all pages are dropped: they are valid for milliseconds only."""
        if key not in self._pages:
            self._bytes += EACH + len(page.held.value.body or b"")
            if self._bytes > BYTES:
                self.forget()
        self._pages[key] = page
