"""How often somebody may do something: a bucket for each key, shared by all processes."""

from abc import abstractmethod
from typing import Protocol

from msgspec import Struct

from repositories.store import Store


class Rate(Struct, frozen=True):
    """So many a second in the long run, and at most `burst` at once. Both are above zero."""

    per_second: float
    burst: int


class Verdict(Struct, frozen=True):
    """`remaining` more would be allowed now; the bucket is full again in `reset` seconds, and the next one is allowed
    in `retry` seconds, 0 when at once.
    """

    allowed: bool
    remaining: int
    reset: float
    retry: float = 0.0


class Limits(Store, Protocol):
    """Generic cell rate algorithm: no bucket is ever filled by anybody, and a key is forgotten once it is full.

    Time is the store's own. Losing keys gives away one burst each. Every method may raise `Unavailable`.
    """

    @abstractmethod
    def take(self, key: str, rate: Rate, *, spend: bool = True) -> Verdict:
        """Ask for one more and count it when it is allowed; without `spend` only ask. One round trip."""


def judged(late: float, rate: Rate, *, spend: bool) -> tuple[Verdict, float]:
    """The verdict, and how late the bucket is after it. `late`: seconds until the bucket was full, never below zero.

    Redis judges by the same arithmetic in `redis_limits`.
    """
    each = 1 / rate.per_second
    room = each * rate.burst
    # A grain of sand, for sums of fractions.
    allowed = late + each <= room + 1e-6
    after = late + each if allowed and spend else late
    return verdict(after, rate, allowed=allowed), after


def verdict(late: float, rate: Rate, *, allowed: bool) -> Verdict:
    each = 1 / rate.per_second
    room = each * rate.burst
    retry = 0.0 if allowed else max(0.0, late + each - room)
    return Verdict(allowed, int((room - late) / each + 1e-6), late, retry)
