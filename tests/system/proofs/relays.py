"""Relays that stand still, crawl, or are killed again and again, while others write and read."""

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

from app.container import Container
from app.handlers import handle
from app.relay import Relay, RelayLimits, sweeper_of
from config import Settings
from repositories.errors import StoreError
from repositories.records import Event
from tests.engines.kernel import wait_until
from tests.system.crowd import outboxes, unsent
from tests.system.live import Live

log = logging.getLogger(__name__)
CRAWLERS = 3
PAUSE = 0.05  # seconds before each event
# Seconds of life, shortest and longest, in turn: a relay dies before it has begun, or at work.
LIVES = ((0.5, 2.0), (4.0, 8.0))
DEATHS = 3  # at least


@contextmanager
def stopped(_container: Container, _folder: Path, _chance: random.Random) -> Iterator[None]:
    yield


@contextmanager
def crawling(container: Container, _folder: Path, _chance: random.Random) -> Iterator[None]:
    """Several at once, each slow, and each taking few events at a time."""
    stop = threading.Event()
    limits = RelayLimits(timedelta(seconds=0.05), timedelta(seconds=30), attempts=8, batch=5)

    def slowly(event: Event) -> None:
        stop.wait(PAUSE)
        handle(container, event)

    relays = [
        Relay(outboxes(container), slowly, container.clock, limits, sweeper_of(container).tick) for _ in range(CRAWLERS)
    ]
    with _threads([functools.partial(relay.run, stop) for relay in relays], stop):
        yield


@contextmanager
def killed(container: Container, folder: Path, chance: random.Random) -> Iterator[None]:
    """`quartet relay`, killed at random moments, and started again at once."""
    stop, deaths = threading.Event(), list[float]()

    def kill() -> None:
        while not stop.is_set() or len(deaths) < DEATHS:
            relay = relay_process(container.settings, folder)
            deaths.append(chance.uniform(*LIVES[len(deaths) % len(LIVES)]))
            threading.Event().wait(deaths[-1])
            assert_alive(relay)
            relay.kill()

    with _threads([kill], stop):
        yield
    log.info("%d relays killed", len(deaths))


def relay_process(settings: Settings, folder: Path, **changed: str) -> Live:
    """`quartet relay`. It ends with the thread that calls this."""
    few = {"threads": "4", "workers": "1", "relay_metrics_port": "0", "log_level": "error"}
    told = {name: str(value) for name, value in asdict(settings).items() if name != "port"} | few | changed
    return Live(folder, "relay", **{name.upper(): value for name, value in told.items()})


def assert_alive(relay: Live) -> None:
    with suppress(subprocess.TimeoutExpired):
        raise AssertionError(f"exit code {relay.ended(0)}: {relay.output}")


def catch_up(container: Container, folder: Path, seconds: float, relays: int = 1) -> None:
    """Relay, without a budget, until nothing waits any more."""

    def empty() -> bool:
        try:
            return not unsent(container)
        except StoreError:
            return False

    lives = [relay_process(container.settings, folder, deliveries_per_second="0") for _ in range(relays)]
    try:
        done = wait_until(empty, seconds)
        assert done, (unsent(container), [live.output for live in lives])
    finally:
        for live in lives:
            live.close()


@contextmanager
def _threads(works: list[Callable[[], None]], stop: threading.Event) -> Iterator[None]:
    """Raises what any of them raised."""
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
    assert faults == []
