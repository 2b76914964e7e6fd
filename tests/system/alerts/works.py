"""A working system with sinks, relay and money, for the alerts about these."""

import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

from app.worker.running import run
from tests.apps import ROLES, System, running
from tests.engines import Engines
from tests.engines.brokers import Kafka, Rabbit
from tests.engines.kernel import freeze, process, wait_until
from tests.http.world import ShiftedClock
from tests.receiver import Receiver
from tests.system.alerts import prometheus
from tests.system.alerts.prometheus import Prometheus
from tests.system.alerts.scraping import Scraping
from tests.system.live import Live
from tests.system.proofs.relays import threads
from tests.system.relay.operator import Operator, settings

# The interval is long enough for a scrape of a busy machine, which may take a second.
TIMES, EVERY = 20, "1500ms"
PATIENCE = 300.0


class Relay:
    """A complete relay, in threads of this process."""

    def __init__(self, system: System) -> None:
        self._container = system.container
        self.start()

    def start(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=run, args=(self._container, self._stop))
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


class Works:
    """A working system with three sinks, their servers, and a Prometheus that watches it."""

    def __init__(self, folder: Path, engines: Engines, receiver: Receiver, stack: ExitStack) -> None:
        self.kafka, self.rabbit, self.receiver = Kafka(engines.kafka()), Rabbit(engines.rabbitmq()), receiver
        for broker in (self.kafka, self.rabbit):
            stack.callback(broker.server.discard)
        self.places = places = {broker: broker.place() for broker in (self.kafka, self.rabbit)}
        self.make_topic()
        for broker, place in places.items():
            broker.prepared(place).close()
        self.clock, self._folder = ShiftedClock(), folder
        self._sinks = sinks = ",".join(broker.url(place) for broker, place in places.items())
        own = {"sinks": sinks, "sinks_timeout": 2.0, "relay_attempts": 1, "webhooks_wait_seconds": 0.2}
        anchors = {"anchor_folder": str(folder / "anchors"), "anchor_seconds": 1.0}
        made = settings(folder, **own, **anchors)
        self.system = stack.enter_context(running(made, self.clock))
        # Needed for an anchor: an empty ledger is not anchored.
        self.system.person().rich(5)
        Operator(self.system, None).add(receiver)
        self.scraping = Scraping(self.system.container)
        stack.callback(self.scraping.close)
        self.relay = Relay(self.system)
        stack.callback(self.relay.end)
        self.prometheus: Prometheus = stack.enter_context(prometheus.running(self.scraping.port, TIMES, EVERY))

    @contextmanager
    def live_relay(self) -> Iterator[Live]:
        """A relay in a separate process, on the same file; killed at the end of the block."""
        urls = {f"{role}_URL".upper(): f"sqlite:///{self._folder}/quartet.db" for role in ROLES}
        relay = Live(self._folder, "relay", SINKS=self._sinks, SINKS_LEASE_SECONDS="2", **urls)
        try:
            assert wait_until(lambda: not self.waits(), PATIENCE), relay.output
            yield relay
        finally:
            relay.kill()

    def freeze(self, relay: Live) -> None:
        """Freeze the relay while it does not lock the file; otherwise everybody would wait for the lock."""

        def idle() -> bool:
            found = process(relay.pid)
            assert found, relay.output
            freeze(found)
            try:
                with closing(sqlite3.connect(self._folder / "quartet.db", timeout=1)) as file:
                    file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                found.send(signal.SIGCONT)
                return False
            return True

        assert wait_until(idle, PATIENCE)

    def make_topic(self) -> None:
        self.kafka.make(self.places[self.kafka], **{"max.message.bytes": "20000"})

    def waits_for(self, sink: str) -> bool:
        states = self.system.container.stores.relational.event_log.states()
        return any(state.waiting for state in states if state.sink.startswith(sink))

    def waits(self) -> bool:
        return bool(self.system.container.stores.documents.outbox.backlog().unsent)

    def later(self, **by: float) -> None:
        self.clock.ahead += timedelta(**by)

    @contextmanager
    def traffic(self) -> Iterator[set[int]]:
        """Traffic until the block ends. Yields the set of all statuses so far."""
        over, person, statuses = threading.Event(), self.system.person(), set[int]()

        def go() -> None:
            while not over.wait(0.05):
                post = person.send("POST", "/posts", json={"title": "A post", "body": "Some words."})
                statuses.update({post.status_code, person.send("GET", "/feed").status_code})

        with threads([go], over):
            yield statuses
