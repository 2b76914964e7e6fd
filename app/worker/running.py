"""Composes the worker: the relay over both outboxes, the sweeper, and the threads that run beside them."""

import functools
import threading
from collections.abc import Callable
from datetime import timedelta

from app.container import Container
from app.moved_roles import follow
from app.worker.anchoring import anchored
from app.worker.deferred import DeferredWork
from app.worker.handlers import handle
from app.worker.relay import BATCH, Relay, RelayLimits
from app.worker.sampling import sampled
from app.worker.sinks.running import log_of, sending
from app.worker.sweeper import Sweeper


def relay_of(container: Container) -> Relay:
    """The relay over both outboxes of a system."""
    settings = container.settings
    # An embedded database file allows one writer at a time, so more threads would not help.
    threads = 1 if settings.relay_inline else settings.threads
    limits = RelayLimits(
        poll=timedelta(seconds=settings.relay_poll_seconds),
        lease=timedelta(seconds=settings.relay_lease_seconds),
        attempts=settings.relay_attempts,
        batch=max(1, BATCH // threads),
        threads=threads,
    )
    return Relay(
        list(container.stores.outboxes().values()),
        functools.partial(handle, container),
        container.kit.clock,
        limits,
        sweeper_of(container).tick,
        log_of(container),
    )


def sweeper_of(container: Container) -> Sweeper:
    return Sweeper(
        container.stores.relational,
        container.stores.feeds,
        container.people.sessions,
        container.money.settlement,
        container.content.products,
        container.feeds.feed_activity,
        container.feeds.pulling,
        container.content.views,
        DeferredWork(container.stores.relational, container.pages.invalidation, container.live.announcer),
        container.kit.retry,
        container.kit.clock,
        timedelta(days=container.settings.sinks_kept_days) if container.settings.logs_events else None,
    )


def run(container: Container, stop: threading.Event) -> None:
    """Run the relay, with its threads for anchors, sinks and samples, until `stop` is set."""
    with anchored(container, stop), sending(container, stop), sampled(container, stop):
        relay_of(container).run(stop)


def start_inline(container: Container) -> Callable[[], None]:
    """Run the relay in a thread of this process.

    Returns a function that stops it and waits up to 5 seconds for the current round.
    """
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(container, stop, run), name="relay", daemon=True)
    thread.start()

    def stop_and_wait() -> None:
        stop.set()
        thread.join(timeout=5)

    return stop_and_wait
