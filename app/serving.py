"""`quartet serve` and `quartet start`: worker processes that serve, and a main process that checks and relays."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from app.startup import loaded, ready
from app.telemetry import multiprocess
from config.logs import formatter

# Everything else is imported when it is needed, most of it by `loaded`.
if TYPE_CHECKING:
    from app.container import Container
    from app.seed.command import SeededLogin
    from app.server.listening import ListenAddress
    from config import Settings


def require_room(container: "Container") -> None:
    """Check the pools of workers, main process and separate relay against the connection limits of the engines."""
    from app.server.pool_check import shortages
    from repositories.pool_registry import pools

    settings = container.settings
    processes = settings.workers + 1 + (not settings.relay_inline)
    found = shortages(pools(), processes=processes)
    if found:
        advice = f"lower QUARTET_WORKERS ({settings.workers}) or QUARTET_THREADS ({settings.threads})"
        raise click.ClickException("\n".join([*found, f"{advice}, or let the server take more connections"]))


def prepare(container: "Container") -> None:
    """Migrate and seed. Prints the address and a login from a thread, so the start does not wait for hashing."""
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

    Everything that the workers need is imported here, before they are forked. Until the fork no connection is opened
    and no thread is started (decision 39).
    """
    with multiprocess.shared():
        # Of the metrics only the library is imported: our own series would open the files that processes share.
        container = loaded(
            *("app.http", "app.http.edge.overload", "app.http.following_moves", "app.moved_roles"),
            *("app.server.freed_memory", "app.server.granian", "prometheus_client.multiprocess"),
        )
        from app.server.granian import server
        from app.server.listening import require_free

        settings = container.settings
        require_free(_listen_addresses(settings), seconds=settings.boot_seconds)
        server(
            "app.wsgi:app",
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            threads=settings.threads,
            streams=settings.streams,
            drain_seconds=settings.drain_seconds,
            formatter={"()": formatter, "form": settings.log_form},
            beside=_main_process(container, prepare),
        ).serve()


def _listen_addresses(settings: "Settings") -> "list[ListenAddress]":
    """What a server listens on."""
    from app.server.listening import ListenAddress

    found = [ListenAddress("QUARTET_HOST and QUARTET_PORT", settings.host, settings.port)]
    host, port = settings.metrics_at
    return [*found, ListenAddress("QUARTET_METRICS_ADDRESS", host, port)] if port else found


@contextmanager
def _main_process(unopened: "Container", prepare: Callable[["Container"], None]) -> Iterator[None]:
    """The work of the main process while its workers serve."""
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
