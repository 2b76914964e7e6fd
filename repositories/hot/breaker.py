"""A breaker around the cache: a dead or frozen cache costs its deadline a few times, then next to nothing.

Pattern: decorator. An outage must not bring old values back: a drop that failed is owed, and this process reads nothing
until it is delivered. A thread delivers it as soon as the cache is back, for the readers of other processes. A process
that had no answer for a while voids the cache before it reads again.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from repositories.errors import Unavailable
from repositories.hot.port import Cache, Fill, Held
from repositories.read_your_writes import HostState

T = TypeVar("T")
REMEMBERED = 10_000
BLIP = 0.5


class Breaker(Cache):
    """Opens after `failures` in a row; then one call per `interval` seconds is let through, and others fail at once.

    The first call after failures first delivers what is owed: the drops that failed; and `void`, if the cache has not
    answered for `BLIP` seconds, or if more drops are owed than can be remembered. If that fails, the call fails, so
    this process never reads a key whose drop it owes. With `pay_every`, a thread tries to deliver at that interval
    (seconds) while anything is owed.

    Nothing is filled while `is_outdated()`: the value may have been loaded from a place that its role has left. It is
    called after the load; drops since then are fenced by the lease.
    """

    def __init__(
        self,
        inner: Cache,
        *,
        failures: int = 3,
        interval: float = 1.0,
        pay_every: float | None = None,
        is_outdated: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self.place = inner.place
        self._failures = failures
        self._interval = interval
        self._pay_every = pay_every
        self._is_outdated = is_outdated
        self._clock = clock
        self._payer: threading.Thread | None = None
        self._closed = threading.Event()
        self._guard = threading.Lock()
        self._delivering = threading.Lock()
        self._in_a_row = 0
        self._heard = clock()
        self._next_try = 0.0
        self._debts = 0
        self._owed: dict[str, int] = {}
        self._owed_void = 0

    def read(self, keys: Sequence[str]) -> list[Held | None]:
        return self._through(lambda: self._inner.read(keys))

    def whole(self, key: str, *, exact: bool = False) -> Held | None:
        return self._through(lambda: self._inner.whole(key, exact=exact))

    def whole_beside(
        self, key: str, keys: Sequence[str], *, exact: bool = False
    ) -> tuple[Held | None, list[Held | None]]:
        return self._through(lambda: self._inner.whole_beside(key, keys, exact=exact))

    def lease(self, seen: Mapping[str, bytes]) -> list[Held | bytes | None]:
        return self._through(lambda: self._inner.lease(seen))

    def fill(self, fills: Mapping[str, Fill]) -> set[str]:
        if self._is_outdated():
            self.release({key: fill.lease for key, fill in fills.items()})
            return set()
        return self._through(lambda: self._inner.fill(fills))

    def release(self, leases: Mapping[str, bytes]) -> None:
        self._through(lambda: self._inner.release(leases))

    def drop(self, keys: Collection[str]) -> None:
        """Try once, even while the breaker is open. A failed drop is delivered before this process reads again.

        Other processes may hold read leases; after a failure the drop waits until these have ended.
        """
        try:
            self._through(lambda: self._inner.drop(keys), admitted=True)
        except Unavailable:
            self._owe(keys)
            self._inner.outwait()
            raise

    def extend(self, keys: Collection[str], more: bytes, *, most: int) -> None:
        self._through(lambda: self._inner.extend(keys, more, most=most))

    def void(self, *, unless_done: bool = False) -> None:
        self._through(lambda: self._inner.void(unless_done=unless_done))

    def outwait(self) -> None:
        self._inner.outwait()

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return self._inner.migrate(dry_run=dry_run)

    def ping(self) -> None:
        """Ping the cache itself, whatever the breaker's state."""
        self._inner.ping()

    def notes(self) -> list[str]:
        return self._inner.notes()

    def hosts(self) -> list[HostState]:
        return self._inner.hosts()

    def close(self) -> None:
        self._closed.set()
        if self._payer is not None:
            self._payer.join(timeout=1)
        self._inner.close()

    def pay(self) -> bool:
        """Try once to deliver what is owed, whatever the breaker's state. Returns whether nothing is owed now."""
        try:
            self._settle()
        except Unavailable:
            return False
        with self._guard:
            self._in_a_row = 0
            return not (self._owed or self._owed_void)

    def _through(self, call: Callable[[], T], *, admitted: bool = False) -> T:
        if self._in_a_row >= self._failures and not admitted:
            self._admit()
        if self._owed or self._owed_void or self._after_silence():
            self._settle()
        try:
            answer = call()
        except Unavailable:
            self._failed()
            raise
        self._heard = self._clock()
        if self._in_a_row:
            with self._guard:
                self._in_a_row = 0
        return answer

    def _after_silence(self) -> bool:
        return self._in_a_row > 0 and self._clock() - self._heard >= BLIP

    def _admit(self) -> None:
        with self._guard:
            now = self._clock()
            if now < self._next_try:
                raise Unavailable("cache", "not asked, since it has not answered")
            self._next_try = now + self._interval

    def _failed(self) -> None:
        with self._guard:
            self._in_a_row += 1
            self._next_try = self._clock() + self._interval

    def _owe(self, keys: Collection[str]) -> None:
        with self._guard:
            self._debts += 1
            self._owed.update(dict.fromkeys(keys, self._debts))
            if len(self._owed) > REMEMBERED:
                self._owed.clear()
                self._owed_void = self._debts
            if self._pay_every is not None and self._payer is None:
                self._payer = threading.Thread(target=self._keep_paying, args=(self._pay_every,), daemon=True)
                self._payer.start()

    def _keep_paying(self, every: float) -> None:
        """Run until nothing is owed. A later debt starts a new thread."""
        while not self._closed.wait(every):
            self.pay()
            with self._guard:
                if not (self._owed or self._owed_void):
                    self._payer = None
                    return

    def _settle(self) -> None:
        """Deliver what is owed. Debts added meanwhile, even for the same key, remain."""
        if not self._delivering.acquire(blocking=False):
            raise Unavailable("cache", "not read before drops are delivered")
        try:
            with self._guard:
                owed, void = dict(self._owed), self._owed_void
            self._deliver(owed, void=bool(void), silent=self._after_silence())
            with self._guard:
                for key, debt in owed.items():
                    if self._owed.get(key) == debt:
                        del self._owed[key]
                if self._owed_void == void:
                    self._owed_void = 0
        except Unavailable:
            self._failed()
            raise
        finally:
            self._delivering.release()

    def _deliver(self, owed: Mapping[str, int], *, void: bool, silent: bool) -> None:
        if void or silent:
            self._inner.void(unless_done=not void)
            self._heard = self._clock()
        if owed:
            self._inner.drop(list(owed))
            self._heard = self._clock()
