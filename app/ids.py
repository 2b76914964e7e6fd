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
    """48 bits of milliseconds, 12 bits of the fraction of a millisecond (method 3), 62 bits of `tail`."""
    micros = (at - EPOCH) // MICROSECOND
    millis, below = divmod(micros, 1000)
    fraction = below * 4096 // 1000
    return UUID(int=(millis << 80) | VERSION_7 | (fraction << 64) | VARIANT | (tail & (2**62 - 1)))


def lowest_id(at: datetime) -> UUID:
    """The lowest id that can be made at `at`: the lower bound of a time range. The nil UUID for times before 1970."""
    return uuid7(at, 0) if at > EPOCH else UUID(int=0)


class Ids:
    """Makes strictly increasing UUIDv7s: within the process no two have the same microsecond.

    This also holds if the clock stands still or steps back. So the time bits alone identify an id within a process, on
    which `upward_cursor.id_prefix` relies.
    """

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._next = EPOCH

    def __call__(self) -> UUID:
        now = self._clock()
        with self._guard:
            at = max(now, self._next)
            self._next = at + MICROSECOND
        return uuid7(at, secrets.randbits(62))
