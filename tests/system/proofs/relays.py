"""Relays that are stopped, slow, or repeatedly killed, while others write and read."""

import functools
import logging
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from time import monotonic

from app.container import Container
from app.worker.handlers import handle
from app.worker.relay import Relay, RelayLimits
from app.worker.running import sweeper_of
from config import Settings
from repositories.records.events import Event
from tests.engines.kernel import wait_until
from tests.system.crowd import outboxes, unsent
from tests.system.live import Live

log = logging.getLogger(__name__)
CRAWLERS = 3
PAUSE = 0.05  # seconds before each event
DEATHS = 4  # at least
# Seconds. A relay is killed within this time after its start, while it connects or claims, or after its first delivery.
MOMENT = 1.5
PATIENCE = 60
BACK_OFF = 3  # seconds before another relay is started, after one that found a store unavailable


@contextmanager
def stopped(_container: Container, _folder: Path, _chance: random.Random) -> Iterator[None]:
    yield


@contextmanager
def slow_relays(container: Container, _folder: Path, _chance: random.Random) -> Iterator[None]:
    """Several slow relays at once, each of which claims few events at a time."""
    stop = threading.Event()
    limits = RelayLimits(timedelta(seconds=0.05), timedelta(seconds=30), attempts=8, batch=5)

    def slowly(event: Event) -> None:
        stop.wait(PAUSE)
        handle(container, event)

    relays = [
        Relay(outboxes(container), slowly, container.kit.clock, limits, sweeper_of(container).tick)
        for _ in range(CRAWLERS)
    ]
    with threads([functools.partial(relay.run, stop) for relay in relays], stop):
        yield


class Deaths:
    """The number of posts that each relay had delivered when it died."""

    def __init__(self) -> None:
        self.delivered: list[int] = []

    def wait_for_work(self) -> None:
        """Wait until another relay has died after it had delivered something."""
        before = sum(self.delivered)
        assert wait_until(lambda: sum(self.delivered) > before, 2 * PATIENCE), self.delivered


@contextmanager
def killed(container: Container, folder: Path, chance: random.Random) -> Iterator[Deaths]:
    """Run `quartet relay`, kill it at random moments, and start another one at once."""
    stop, deaths = threading.Event(), Deaths()

    def kill() -> None:
        died = deaths.delivered
        while not stop.is_set() or len(died) < DEATHS:
            died.append(_life_of_one(container, folder, chance, at_work=len(died) % 2 == 1))

    with threads([kill], stop):
        yield deaths
    log.info("relays killed, with what they had delivered: %s", deaths.delivered)
    assert any(deaths.delivered)


def _life_of_one(container: Container, folder: Path, chance: random.Random, *, at_work: bool) -> int:
    """Run one relay and kill it; returns how many posts it delivered. It ends by itself if the feed store is
    unavailable.
    """
    relay = relay_process(container.settings, folder, log_level="info")
    try:
        if at_work:
            wait_until(lambda: _delivered(relay) > 0 or _ended(relay) or not unsent(container), PATIENCE)
        threading.Event().wait(chance.uniform(0, MOMENT))
        if _ended(relay):
            assert "QUARTET_FEEDS_URL" in relay.output, relay.output
            threading.Event().wait(BACK_OFF)
    finally:
        relay.close()
    return _delivered(relay)


def _delivered(relay: Live) -> int:
    return relay.output.count('"delivered"')


def _ended(relay: Live) -> bool:
    with suppress(subprocess.TimeoutExpired):
        relay.ended(0)
        return True
    return False


def relay_process(settings: Settings, folder: Path, **changed: str) -> Live:
    """Start `quartet relay`. It ends with the calling thread."""
    few = {"threads": "4", "workers": "1", "relay_metrics_port": "0", "log_level": "error", "log_format": "json"}
    told = {name: str(value) for name, value in asdict(settings).items() if name != "port"} | few | changed
    return Live(folder, "relay", **{name.upper(): value for name, value in told.items()})


def catch_up(container: Container, folder: Path) -> None:
    """Run a relay without a delivery budget until no event waits."""
    live = relay_process(container.settings, folder, deliveries_per_second="0")
    try:
        left, moved = unsent(container), monotonic()
        while left:
            assert not _ended(live), live.output
            assert monotonic() - moved < PATIENCE, (left, live.output)
            # Counting thousands of waiting events is expensive.
            threading.Event().wait(0.2)
            before, left = left, unsent(container)
            moved = monotonic() if left < before else moved
            threading.Event().wait(left / 5000)
    finally:
        live.close()


@contextmanager
def threads(works: list[Callable[[], None]], stop: threading.Event) -> Iterator[None]:
    """Run these functions in threads. Raises what any of them raised."""
    faults: list[BaseException] = []

    def judged(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - every kind is a finding
            faults.append(error)

    threads = [threading.Thread(target=judged, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert faults == [], faults
