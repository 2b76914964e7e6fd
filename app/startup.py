"""Opens the stores for a command, or for the main process of a server."""

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from app.garbage_collection import staying
from app.telemetry.exporting import exported, load
from config import Settings
from config.logs import configure
from repositories.errors import Unavailable
from repositories.slow_statements import log_after

if TYPE_CHECKING:
    from app.container import Container
    from repositories.store import Store

log = logging.getLogger(__name__)
BOOT_PAUSE = 0.2  # seconds


@contextmanager
def opened() -> Iterator["Container"]:
    """Open a container and wait until all its engines accept writes. Raises `Unavailable` if one does not in time."""
    with ready(loaded()) as container:
        yield container


def loaded(*modules: str) -> "Container":
    """Build a container, which connects to nothing yet, and import `modules`."""
    settings = Settings.from_env()
    configure(settings.log_level, settings.log_form)
    with staying():
        from app.container import build

        for module in modules:
            import_module(module)
        if settings.traces_url:
            load()
        return build(settings)


@contextmanager
def ready(container: "Container") -> Iterator["Container"]:
    """Wait for the stores and yield this container, or one for the places to which roles have moved.

    It is closed at the end. During the block traces are exported.
    """
    from app.container import build
    from app.moved_roles import forwarded

    settings = container.settings
    log_after(settings.slow_seconds)
    until = time.monotonic() + settings.boot_seconds
    with exported(settings.traces_url, settings.traces_sampled, settings.engines):
        with closing(container):
            _await_all(container, until)
            there = forwarded(settings, container.stores)
            if there == settings:
                yield container
                return
        with closing(build(there)) as elsewhere:
            _await_all(elsewhere, until)
            yield elsewhere


def _await_all(container: "Container", until: float) -> None:
    for role, store in container.stores.by_role().items():
        if role not in container.settings.embedded_roles:
            _await(store, until)


def _await(store: "Store", until: float) -> None:
    """Wait for a store that is starting or has no primary yet. Raises `Unavailable` if that lasts past `until`."""
    logged = ""
    while True:
        try:
            return store.ping()
        except Unavailable as error:
            if time.monotonic() > until:
                raise
            if str(error) != logged:
                logged = str(error)
                log.warning("waiting for a store: %s", logged)
        time.sleep(BOOT_PAUSE)
