"""Serves the metrics of all processes on a separate address, the same as the workers would serve."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.container import Container
from app.moved_roles import Following

# Imported once the server has set the directory in which its processes share metrics.
if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def registry_of(container: Container) -> "CollectorRegistry":
    """All series of a server: those of its processes, and those read from the stores."""
    from app.telemetry.exposition import everything

    stores, known = container.stores, container.money.anchors.known
    return everything(stores.by_role(), stores.outboxes(), known, container.kit.clock, stores.relational.event_log)


@contextmanager
def scraped(container: Container) -> Iterator[None]:
    """Serve metrics during the block, if a separate address is configured. Follows moves of roles."""
    host, port = container.settings.metrics_at
    if not port:
        yield
        return
    from app.telemetry.exposition import serve

    ends, stop = [serve(host, port, registry_of(container))], threading.Event()

    def again(now: Container) -> None:
        ends.pop()()
        ends.append(serve(host, port, registry_of(now)))

    following = Following(container, again)
    watching = threading.Thread(target=following.run, args=(stop,), name="following", daemon=True)
    watching.start()
    try:
        yield
    finally:
        stop.set()
        watching.join()
        ends.pop()()
        following.close()
