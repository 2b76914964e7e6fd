"""Stores once an hour how full each limited resource is, in a thread of the relay, and four times a day what engines
have counted of their tables. The doctor's advice reads that.

A sample asks each engine some questions, with a deadline each. Any number of relays may do it: the first counts.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

from app.clock import Clock
from app.container import Container
from app.worker.threads import beside, every
from repositories.errors import StoreError
from repositories.observer_port import observe
from repositories.observing import Observers, bounded, counts_of, levels_of
from repositories.relational import RelationalStore
from repositories.relational.levels_port import LevelSample

log = logging.getLogger(__name__)
POLL_SECONDS = 60.0
KEPT = timedelta(days=90)
COUNTS_HOURS = 6


class Sampling:
    def __init__(self, relational: RelationalStore, urls: Mapping[str, str], clock: Clock) -> None:
        """`urls` are those of the roles."""
        self._relational = relational
        self._urls = urls
        self._clock = clock
        self._done: datetime | None = None

    def tick(self) -> int:
        """Samples if this hour has none of this process yet. Returns how many levels were noted."""
        hour = self._clock().replace(minute=0, second=0, microsecond=0)
        if hour == self._done:
            return 0
        try:
            samples = self._samples(hour)
            with self._relational.transaction() as tx:
                tx.levels.note(samples, forget=hour - KEPT)
        except StoreError as error:
            log.warning("how full the stores are was not noted: %s: %s", type(error).__name__, error)
            return 0
        self._done = hour
        return len(samples)

    def _samples(self, hour: datetime) -> list[LevelSample]:
        found = list[LevelSample]()
        with closing(Observers(self._urls)) as observers:
            for observer, roles in observers:
                observed = observe(observer)
                levels = levels_of(observed, roles)
                if hour.hour % COUNTS_HOURS == 0:
                    levels += counts_of(observed, roles)
                found += [LevelSample(level.name, hour, *bounded(level)) for level in levels]
        return found


def sampling_of(container: Container) -> Sampling:
    return Sampling(container.stores.relational, container.urls, container.kit.clock)


@contextmanager
def sampled(container: Container, stop: threading.Event) -> Iterator[None]:
    """While the block runs, until `stop` is set. Not in the first minute, which many a process does not see."""
    with beside("levels", [every(POLL_SECONDS, sampling_of(container).tick)], stop):
        yield
