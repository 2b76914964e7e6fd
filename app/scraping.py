"""Metrics on an address of their own: those of all processes, as the workers would serve them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.container import Container
from app.moved_roles import Following


@contextmanager
def scraped(container: Container) -> Iterator[None]:
    """Serve them where they have an address."""
    host, port = container.settings.metrics_at
    if not port:
        yield
        return
    # Imported here, inside `multiprocess.shared`.
    from app.telemetry import exposition

    def served(now: Container) -> Callable[[], None]:
        stores, known = now.stores.by_role(), now.money.anchors.known
        outboxes, clock, log = now.stores.outboxes(), now.kit.clock, now.stores.relational.event_log
        return exposition.serve(host, port, exposition.everything(stores, outboxes, known, clock, log))

    ends, stop = [served(container)], threading.Event()

    def again(now: Container) -> None:
        ends.pop()()
        ends.append(served(now))

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
