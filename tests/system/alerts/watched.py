"""A system on the real engines, its traffic, and a Prometheus that watches it.

Prometheus only has the machine's clock, so all durations in the rules are shortened, and scrapes are frequent.
"""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, NamedTuple

import pytest

from app.telemetry import background
from tests.apps import Person
from tests.engines import Engines, Shared
from tests.engines.kernel import wait_until
from tests.system.alerts import prometheus
from tests.system.alerts.prometheus import Firing, Prometheus
from tests.system.alerts.scraping import Scraping
from tests.system.outages.matrix import ProxiedSystem, proxied_system
from tests.system.proofs.relays import threads
from tests.system.real import KEYSPACE, real_urls

TIMES, PATIENCE = 100, 120.0
READS = ("/feed", "/wallet", "/notifications", "/posts")
OF_STATES = {"QuartetStoreDown", "QuartetStoreReadOnly"}


class Watched(NamedTuple):
    proxied_system: ProxiedSystem
    prometheus: Prometheus

    @contextmanager
    def traffic(self, readers: int = 1) -> Iterator[None]:
        """Traffic of this many readers, who also write now and then, until the block ends."""
        system, over = self.proxied_system.world.system, threading.Event()

        def go(person: Person) -> None:
            while not over.is_set():
                person.send("POST", "/posts", json={"title": "A post", "body": "Some words."})
                system.relay.drain()
                for path in READS * 5:
                    person.send("GET", path)
                    over.wait(0.01)

        with threads([partial(go, system.person()) for _ in range(readers)], over):
            yield

    def about(self, alerts: set[str]) -> Firing:
        return {one for one in self.prometheus.firing() if one[0] in alerts}

    def settles(self) -> None:
        assert wait_until(lambda: not self.about(OF_STATES), PATIENCE), self.prometheus.firing()


@contextmanager
def watching(engines: Engines | Shared, name: str, **changes: Any) -> Iterator[Watched]:
    urls = real_urls(engines, name, keyspace=KEYSPACE)
    with (
        pytest.MonkeyPatch.context() as patch,
        proxied_system(urls, own=False, **changes) as made,
        closing(Scraping(made.world.system.container)) as scraping,
        prometheus.running(scraping.port, TIMES) as found,
    ):
        patch.setattr(background, "FRESH_SECONDS", background.FRESH_SECONDS / TIMES)
        # Short, so that even two unanswered questions fit into a scrape's timeout.
        patch.setattr(background, "PATIENCE_SECONDS", 0.05)
        yield Watched(made, found)
