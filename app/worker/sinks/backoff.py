"""How long to wait before a sink is tried again: `doubling` for brokers, `Jitter` for receivers of webhooks."""

import random
from datetime import timedelta

# The shortest and the longest wait for a broker, and the first bound of `Jitter`.
SOONEST, LATEST, FIRST_BOUND = timedelta(seconds=0.5), timedelta(seconds=15), timedelta(seconds=1)


def doubling(attempts: int) -> timedelta:
    """How long to wait after this number of failed tries."""
    return min(LATEST, SOONEST * float(2 ** min(attempts - 1, 8)))


class Jitter:
    """Exponential backoff with full jitter: a random wait below a doubling bound, so that retries do not coincide."""

    def __init__(self, longest: timedelta, chance: random.Random) -> None:
        self._longest = longest
        self._chance = chance

    def __call__(self, attempts: int) -> timedelta:
        return min(self._longest, FIRST_BOUND * float(2 ** min(attempts - 1, 20))) * self._chance.random()
