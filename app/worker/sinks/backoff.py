"""How long to wait before a sink is tried again: `doubling` for brokers, `Jitter` for receivers of webhooks."""

import random
from datetime import timedelta

# The shortest and the longest wait for a broker, and the first bound of `Jitter`.
SOONEST, LATEST, FIRST_BOUND = timedelta(seconds=0.5), timedelta(seconds=15), timedelta(seconds=1)


def doubling(attempts: int) -> timedelta:
    """How long to wait after this number of failed tries."""
    return _doubled(SOONEST, LATEST, attempts)


class Jitter:
    """Exponential backoff with full jitter: a random wait below a doubling bound, so that retries do not coincide."""

    def __init__(self, longest: timedelta, chance: random.Random) -> None:
        self._longest = longest
        self._chance = chance

    def __call__(self, attempts: int) -> timedelta:
        return _doubled(FIRST_BOUND, self._longest, attempts) * self._chance.random()


def _doubled(first: timedelta, longest: timedelta, attempts: int) -> timedelta:
    # The exponent is bounded, because a timedelta is.
    return min(longest, first * float(2 ** min(attempts - 1, 20)))
