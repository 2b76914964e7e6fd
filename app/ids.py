"""Ids: UUIDv7 (RFC 9562, section 5.7), so that order by id is order by time."""

import secrets
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.clock import Clock, utc_now

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
VERSION_7 = 0x7 << 76
VARIANT = 0b10 << 62


def uuid7(at: datetime, tail: int) -> UUID:
    """The id of a moment: 48 bits of milliseconds, 12 of the fraction below (method 3), 62 of `tail`."""
    micros = (at - EPOCH) // MICROSECOND
    millis, below = divmod(micros, 1000)
    fraction = below * 4096 // 1000
    return UUID(int=(millis << 80) | VERSION_7 | (fraction << 64) | VARIANT | (tail & (2**62 - 1)))


def lowest_id(at: datetime) -> UUID:
    """Not above any id made at `at` or later: the floor of a time range. Times before 1970 give the nil UUID."""
    return uuid7(at, 0) if at > EPOCH else UUID(int=0)


class Ids:
    """Makes UUIDv7s that rise strictly within the process, also when the clock stands still or steps back."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._last = UUID(int=0)

    def __call__(self) -> UUID:
        fresh = uuid7(self._clock(), secrets.randbits(62))
        with self._guard:
            self._last = fresh if fresh > self._last else _next(self._last)
            return self._last


def _next(last: UUID) -> UUID:
    """The next higher id within a few thousand ticks of the random tail, keeping version and variant."""
    return UUID(int=last.int + 1 + secrets.randbelow(2**32))
