"""Rate limits: one bucket per key, shared by all processes."""

from abc import abstractmethod
from typing import Protocol

from msgspec import Struct

from repositories.store import Store


class Rate(Struct, frozen=True):
    """`per_second` requests in the long run, and at most `burst` at once. Both are above zero."""

    per_second: float
    burst: int


class Verdict(Struct, frozen=True):
    """`remaining` more requests would be allowed now. The bucket is full again in `reset` seconds.

    The next request is allowed in `retry` seconds, 0 if at once.
    """

    allowed: bool
    remaining: int
    reset: float
    retry: float = 0.0


class Limits(Store, Protocol):
    """Generic cell rate algorithm: no job refills the buckets, and a key is forgotten once its bucket is full.

    Time is the store's own. A lost key allows one more burst. Every method may raise `Unavailable`.
    """

    @abstractmethod
    def take(self, key: str, rate: Rate, *, spend: bool = True) -> Verdict:
        """Ask for one request and count it if it is allowed; without `spend` only ask.

        One round trip; in an SQL database a refusal takes two.
        """


def verdict(late: float, rate: Rate, *, allowed: bool) -> Verdict:
    """The verdict on a request after which the bucket is full in `late` seconds."""
    each = 1 / rate.per_second
    room = each * rate.burst
    retry = 0.0 if allowed else max(0.0, late + each - room)
    # With a tolerance for rounding errors in sums of fractions.
    return Verdict(allowed, int((room - late) / each + 1e-6), late, retry)
