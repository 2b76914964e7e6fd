"""`quartet serve` and `quartet start`: workers that serve, and beside them a process that checks, then relays."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from app.opening import loaded, ready
from app.telemetry import multiprocess
from config.logs import formatter

# All else is imported when it is needed, most of it by `loaded`.
if TYPE_CHECKING:
    from app.container import Container
    from app.seed.command import SeededLogin


def require_migrated(container: "Container") -> None:
    pending = container.stores.migrate(dry_run=True)
    if pending:
        raise click.ClickException(f"{len(pending)} migration steps are pending: run `quartet migrate` first")


def require_room(container: "Container") -> None:
    """Check the pools of the workers, the server and a separate relay against the engines' limits."""
    from app.server.pool_check import shortages
    from repositories.pool_registry import pools

    settings = container.settings
    processes = settings.workers + 1 + (not settings.relay_inline)
    found = shortages(pools(), processes=processes)
    if found:
        advice = f"lower QUARTET_WORKERS ({settings.workers}) or QUARTET_THREADS ({settings.threads})"
        raise click.ClickException("\n".join([*found, f"{advice}, or let the server take more connections"]))


def prepare(container: "Container") -> None:
    """Migrate, seed, and say where to go: beside the start, which does not wait for a password to be hashed."""
    from app.seed.command import seed_small_once

    container.stores.migrate()
    address = f"http://{container.settings.host}:{container.settings.port}"
    threading.Thread(target=_greet, args=(address, seed_small_once(container)), name="greeting", daemon=True).start()


def _greet(address: str, login_of: "Callable[[], SeededLogin | None]") -> None:
    login = login_of()
    click.echo(f"\nQuartet serves on {address}\ndocumentation:   {address}/docs")
    if login is not None:
        click.echo(f"sign in with:    {login.handle} / {login.password}")
    click.echo("")


def serve_with(prepare: Callable[["Container"], None]) -> None:
    """Serve until SIGTERM. An inline relay is a thread of this process.

    What the workers import is imported here, before they are forked. Until then nothing is opened, and no thread begun.
    """
    with multiprocess.shared():
        # Of the last it is only the library: our own series open the files in which processes share them.
        container = loaded(
            *("app.http", "app.http.edge.overload", "app.http.following_moves", "app.moved_roles"),
            *("app.server.freed_memory", "app.server.granian", "prometheus_client.multiprocess"),
        )
        from app.server.granian import server

        settings = container.settings
        server(
            "app.wsgi:app",
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            threads=settings.threads,
            streams=settings.streams,
            drain_seconds=settings.drain_seconds,
            formatter={"()": formatter, "form": settings.log_form},
            beside=_beside(container, prepare),
        ).serve()


@contextmanager
def _beside(unopened: "Container", prepare: Callable[["Container"], None]) -> Iterator[None]:
    """What this process does while its workers serve."""
    from app.metrics_server import scraped
    from app.worker.running import start_inline

    settings = unopened.settings
    with ready(unopened) as container:
        prepare(container)
        require_room(container)
        if settings.metrics and settings.relay_inline:
            multiprocess.record()
        stop_relay = start_inline(container) if settings.relay_inline else None
        try:
            with scraped(container):
                yield
        finally:
            if stop_relay:
                stop_relay()
