"""Serves the metrics of a system in this process on a separate port."""

from collections.abc import Callable

from app.container import Container
from app.telemetry import exposition
from tests.engines.kernel import free_port


class Scraping:
    """Serves until `close`; `start` serves again on the same port."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._end: Callable[[], None] | None = None
        self.port = free_port()
        self.start()

    def start(self) -> None:
        stores, clock = self._container.stores, self._container.kit.clock
        known, log = self._container.money.anchors.known, stores.relational.event_log
        whole = exposition.everything(stores.by_role(), stores.outboxes(), known, clock, log)
        self._end = exposition.serve("127.0.0.1", self.port, whole)

    def close(self) -> None:
        if self._end:
            self._end()
        self._end = None
