"""Samples hourly, in a thread of the relay, how full each limited resource is. `quartet doctor advice` reads this.

Every `COUNTS_HOURS` hours the sample includes what the engines have counted about their tables. Sampling runs a few
queries on each engine, each with a deadline. Any number of relays may sample: the first sample of an hour is kept.
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
from repositories.observers import Observers, bounded, counts_of, levels_of
from repositories.relational import RelationalStore
from repositories.relational.levels_port import LevelSample

log = logging.getLogger(__name__)
POLL_SECONDS = 60.0
KEPT = timedelta(days=90)
COUNTS_HOURS = 6


class Sampling:
    def __init__(self, relational: RelationalStore, urls: Mapping[str, str], clock: Clock) -> None:
        """`urls` are the URLs of the stores by role."""
        self._relational = relational
        self._urls = urls
        self._clock = clock
        self._done: datetime | None = None

    def tick(self) -> int:
        """Sample unless this process has done so in this hour. Returns how many levels were recorded."""
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
    """Sample during the block, until `stop` is set. Starts after a minute, since many processes live less long."""
    with beside("levels", [every(POLL_SECONDS, sampling_of(container).tick)], stop):
        yield
