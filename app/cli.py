"""The command `quartet`. Run `quartet --help`."""

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import click

from app.backup import dump, restore
from app.container import Container, build
from app.doctor import Drift, advice
from app.doctor.ledger import audit_ledger, ledger
from app.doctor.provider import compare_with_provider
from app.doctor.rebuild import Rebuild
from app.forwarding import Circular, follow, forwarded
from app.moving.command import move
from app.scraping import scraped
from app.seed import seed, seed_small_once
from app.server.granian import server
from app.server.pool_check import shortages
from app.telemetry import multiprocess
from app.telemetry.exporting import ExtraMissing, exported
from app.versions import version
from app.worker.anchoring import anchoring_of
from app.worker.relay import relay_of, run, start_inline, sweeper_of
from app.worker.sinks.commands import asyncapi, drain, sinks
from config import Settings, SettingsError
from config.logs import configure, formatter
from repositories.address import BadAddress
from repositories.errors import StoreError, Unavailable
from repositories.outbox import Outbox
from repositories.pool_registry import pools
from repositories.slow_statements import log_after
from repositories.store import Store

log = logging.getLogger(__name__)
BOOT_PAUSE = 0.2  # seconds


class OneLineErrors(click.Group):
    """Expected failures are one line on stderr and exit code 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Unavailable as error:
            variable = error.store.upper() + ("" if error.store == "sinks" else "_URL")
            raise click.ClickException(f"QUARTET_{variable}: {error}") from error
        except BadAddress as error:
            raise click.ClickException(f"QUARTET_{error.setting.upper()}: {error}") from error
        except ExtraMissing as error:
            raise click.ClickException(f"QUARTET_TRACES_URL: {error}") from error
        except (SettingsError, StoreError, Circular) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=OneLineErrors)
@click.version_option(package_name="quartet", message="%(package)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Quartet: a REST backend on four stores."""
    ctx.obj = opened


@contextmanager
def opened() -> Iterator[Container]:
    """A container whose engines all take writes. Raises `Unavailable` for the first that does not in time."""
    settings = Settings.from_env()
    configure(settings.log_level, settings.log_form)
    log_after(settings.slow_seconds)
    with exported(settings.traces_url, settings.traces_sampled, settings.engines):
        until = time.monotonic() + settings.boot_seconds
        with closing(build(settings)) as container:
            _await_all(container, until)
            there = forwarded(settings, container.stores)
            if there == settings:
                yield container
                return
        with closing(build(there)) as container:
            _await_all(container, until)
            yield container


def _await_all(container: Container, until: float) -> None:
    for role, store in container.stores.by_role().items():
        if role not in container.settings.embedded_roles:
            _await(store, until)


def _await(store: Store, until: float) -> None:
    """A store that is being started, or has no writer yet, may have one soon. Raises `Unavailable` at `until`."""
    while True:
        try:
            return store.ping()
        except Unavailable as error:
            if time.monotonic() > until:
                raise
            log.warning("waiting for a store: %s", error)
        time.sleep(BOOT_PAUSE)


for command in (seed, dump, restore, move, ledger, sinks, asyncapi, version):
    main.add_command(command)


@main.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def migrate(*, dry_run: bool) -> None:
    """Bring every store up to date. Running it again changes nothing."""
    with opened() as container:
        steps = container.stores.migrate(dry_run=dry_run)
        steps += [step for sink in container.stores.sinks for step in sink.migrate(dry_run=dry_run)]
    for step in steps:
        click.echo(step)
    click.echo(f"{len(steps)} steps {'to take' if dry_run else 'taken'}")


@main.command()
def serve() -> None:
    """Serve the API, until SIGTERM or SIGINT. The relay runs inside where QUARTET_RELAY says so."""
    with opened() as container:
        _require_migrated(container)
        _require_room(container)
        _serve(container)


@main.command()
def start() -> None:
    """Migrate, seed a small data set on the first start, and serve with the relay inside: what `make run` calls."""
    os.environ.setdefault("QUARTET_RELAY", "inline")
    with opened() as container:
        container.stores.migrate()
        _require_room(container)
        login = seed_small_once(container)
        settings = container.settings
        address = f"http://{settings.host}:{settings.port}"
        click.echo(f"\nQuartet serves on {address}\ndocumentation:   {address}/docs")
        if login is not None:
            click.echo(f"sign in with:    {login.handle} / {login.password}")
        click.echo("")
        _serve(container)


@main.command()
def openapi() -> None:
    """Print the OpenAPI document. Needs no store."""
    from app.http import create_app  # only this command of the main process needs it

    configure("warning", "console")
    app = create_app(build(Settings()))
    click.echo(json.dumps(app.test_client().get("/openapi.json").get_json(), indent=2))


@main.command()
@click.option("--once", is_flag=True, help="Dispatch what is due now, then stop.")
def relay(*, once: bool) -> None:
    """Dispatch the events of both outboxes to their handlers, until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with opened() as container:
        _require_migrated(container)
        if once:
            sweeper_of(container).sweep()
            anchoring_of(container).tick()
            click.echo(f"{relay_of(container).drain()} events dispatched")
            drain(container)
        else:
            _require_room(container)
            settings = container.settings
            with multiprocess.served(settings.host, settings.relay_metrics_port if settings.metrics else 0):
                follow(container, stop, run)


@main.group()
def doctor() -> None:
    """Check a system, and repair it."""


@doctor.command()
def outbox() -> None:
    """Show what waits and what is dead-lettered."""
    with opened() as container:
        for name, store in _outboxes(container).items():
            waiting = store.backlog()
            oldest = waiting.oldest or "-"
            click.echo(f"{name}: {waiting.unsent} unsent, {waiting.dead_lettered} dead-lettered, oldest {oldest}")
            for dead in store.dead_letters(limit=100):
                click.echo(f"  {dead.event.id} {dead.event.type} after {dead.attempts} tries: {dead.reason}")


@doctor.command()
@click.argument("event_ids", nargs=-1, type=click.UUID)
def replay(event_ids: tuple[UUID, ...]) -> None:
    """Dispatch dead-lettered events again: those named, or all."""
    with opened() as container:
        local = container.kit.clock()
        count = sum(o.replay(event_ids or None, now=o.now() or local) for o in _outboxes(container).values())
    click.echo(f"{count} events will be tried again")


for command in (advice, audit_ledger, compare_with_provider):
    doctor.add_command(command)


@doctor.command()
@click.option("--account", metavar="HANDLE", help="Only this account and its posts.")
@click.option("--repair/--no-repair", default=True, help="Mend what is found.", show_default=True)
def drift(*, account: str | None, repair: bool) -> None:
    """Compare feeds and counters with the truth, while serving. Exit code 1 when something is wrong, mended or not."""
    began = time.monotonic()
    with opened() as container:
        found = Drift(container, click.echo, repair=repair)
        report = found.one(_account(container, account)) if account is not None else found.everybody()
    for line in report.summary(time.monotonic() - began):
        click.echo(line)
    if report.drift:
        raise click.exceptions.Exit(1)


@main.group()
def rebuild() -> None:
    """Make projections anew from the truth."""


@rebuild.command("feeds")
@click.option("--account", metavar="HANDLE", help="Only this account.")
@click.option("--wait/--no-wait", default=True, help="Help the relay, and wait until it is done.", show_default=True)
def rebuild_feeds(*, account: str | None, wait: bool) -> None:
    """Fill home timelines, and write author timelines, anew from the truth, while serving."""
    with opened() as container:
        work = Rebuild(container, relay_of(container).round, wait=wait)
        made = work.one(_account(container, account)) if account is not None else work.everybody()
    click.echo(f"{made.feeds} feeds {'filled' if wait else 'requested'}, {made.dormant} dormant ones left out")
    click.echo(f"{made.posts} posts put on their authors' timelines")
    if made.late:
        raise click.ClickException(f"{made.late} of the feeds are not filled yet")


def _account(container: Container, handle: str) -> UUID:
    found = container.stores.relational.accounts.by_handle(handle)
    if found is None:
        raise click.ClickException(f"there is no account {handle!r}")
    return found.id


def _require_migrated(container: Container) -> None:
    pending = container.stores.migrate(dry_run=True)
    if pending:
        raise click.ClickException(f"{len(pending)} migration steps are pending: run `quartet migrate` first")


def _require_room(container: Container) -> None:
    """Check the pools of the workers, the server and a separate relay against the engines' limits."""
    settings = container.settings
    processes = settings.workers + 1 + (not settings.relay_inline)
    found = shortages(pools(), processes=processes)
    if found:
        advice = f"lower QUARTET_WORKERS ({settings.workers}) or QUARTET_THREADS ({settings.threads})"
        raise click.ClickException("\n".join([*found, f"{advice}, or let the server take more connections"]))


def _outboxes(container: Container) -> dict[str, Outbox]:
    return {"relational": container.stores.relational.outbox, "documents": container.stores.documents.outbox}


def _serve(container: Container) -> None:
    """Serve until SIGTERM. An inline relay is a thread of this process."""
    settings = container.settings
    served = server(
        "app.wsgi:app",
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        threads=settings.threads,
        streams=settings.streams,
        drain_seconds=settings.drain_seconds,
        formatter={"()": formatter, "form": settings.log_form},
    )
    with multiprocess.shared(record=settings.metrics and settings.relay_inline):
        stop_relay = start_inline(container) if settings.relay_inline else None
        with scraped(container, _outboxes):
            served.serve()
        if stop_relay:
            stop_relay()
