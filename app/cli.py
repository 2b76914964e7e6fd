"""The command `quartet`. Run `quartet --help`."""

import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from app.server.listening import CannotListen, ListenAddress, require_free
from app.startup import opened
from app.stores import NotMigrated
from app.telemetry.exporting import ExtraMissing
from config import SettingsError
from repositories.address import BadAddress
from repositories.errors import StoreError, Unavailable

# Everything else is imported by the commands that need it, since every import delays a server's first answer.
if TYPE_CHECKING:
    from app.container import Container


class LazyGroup(click.Group):
    """A group that imports some commands only when they are used. `lazy` maps their names to `module:attribute`."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, name = self._lazy[cmd_name].partition(":")
        found: click.Command = getattr(import_module(module), name)
        return found


class OneLineErrors(LazyGroup):
    """Prints expected failures as one line on stderr, without a traceback, and exits with code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Unavailable as error:
            variable = error.store.upper() + ("" if error.store == "sinks" else "_URL")
            # Drivers' messages may have several lines.
            raise click.ClickException(f"QUARTET_{variable}: {' '.join(str(error).split())}") from error
        except BadAddress as error:
            raise click.ClickException(f"QUARTET_{error.setting.upper()}: {error}") from error
        except ExtraMissing as error:
            raise click.ClickException(f"QUARTET_TRACES_URL: {error}") from error
        except (CannotListen, NotMigrated, SettingsError, StoreError) as error:
            raise click.ClickException(str(error)) from error


@click.group(
    cls=OneLineErrors,
    lazy={
        "asyncapi": "app.worker.sinks.commands:asyncapi",
        "dump": "app.backup.command:dump",
        "ledger": "app.doctor.ledger:ledger",
        "move": "app.moving.command:move",
        "restore": "app.backup.command:restore",
        "seed": "app.seed.command:seed",
        "sinks": "app.worker.sinks.commands:sinks",
        "version": "app.versions:version",
    },
)
@click.version_option(package_name="quartet", message="%(package)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Quartet: a REST backend on four stores."""
    ctx.obj = opened


@main.command()
@click.option("--dry-run", is_flag=True, help="Show what would be done, but do nothing.")
def migrate(*, dry_run: bool) -> None:
    """Migrate every store to the current schema. Idempotent."""
    with opened() as container:
        steps = container.stores.migrate(dry_run=dry_run)
        steps += [step for sink in container.stores.sinks for step in sink.migrate(dry_run=dry_run)]
    for step in steps:
        click.echo(step)
    click.echo(f"{len(steps)} steps {'to take' if dry_run else 'taken'}")


@main.command()
def serve() -> None:
    """Serve the API until SIGTERM or SIGINT. Runs the relay too, depending on QUARTET_RELAY."""
    from app.serving import serve_with

    serve_with(lambda container: container.stores.require_migrated())


@main.command()
def start() -> None:
    """Migrate, seed sample data on the first start, and serve. Runs the relay too. Used by `make run`."""
    os.environ.setdefault("QUARTET_RELAY", "inline")
    from app.serving import prepare, serve_with

    serve_with(prepare)


@main.command()
def openapi() -> None:
    """Print the OpenAPI document. Needs no store."""
    from app.container import build
    from app.http import create_app
    from config import Settings
    from config.logs import configure

    configure("warning", "console")
    app = create_app(build(Settings()))
    click.echo(json.dumps(app.test_client().get("/openapi.json").get_json(), indent=2))


@main.command()
@click.option("--once", is_flag=True, help="Dispatch the events that are due now, then stop.")
def relay(*, once: bool) -> None:
    """Dispatch the events of both outboxes to their handlers until SIGTERM or SIGINT."""
    from app.moved_roles import follow
    from app.serving import require_room
    from app.telemetry import multiprocess
    from app.worker.anchoring import anchoring_of
    from app.worker.running import relay_of, run, sweeper_of
    from app.worker.sinks.commands import drain

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with opened() as container:
        container.stores.require_migrated()
        if once:
            sweeper_of(container).sweep()
            anchoring_of(container).tick()
            click.echo(f"{relay_of(container).drain()} events dispatched")
            drain(container)
        else:
            require_room(container)
            settings = container.settings
            port = settings.relay_metrics_port if settings.metrics else 0
            if port:
                address = ListenAddress("QUARTET_RELAY_METRICS_PORT", settings.host, port)
                require_free([address], seconds=settings.boot_seconds)
            with multiprocess.served(settings.host, port):
                follow(container, stop, run)


@main.group(
    cls=LazyGroup,
    lazy={
        "advice": "app.doctor.advice.command:advice",
        "ledger": "app.doctor.ledger:audit_ledger",
        "provider": "app.doctor.provider:compare_with_provider",
    },
)
def doctor() -> None:
    """Check and repair a system."""


@doctor.command()
def outbox() -> None:
    """Show the number of waiting events, and the dead-lettered ones."""
    with opened() as container:
        container.stores.require_migrated()
        for name, store in container.stores.outboxes().items():
            waiting = store.backlog()
            later = waiting.oldest is not None and waiting.oldest > (store.now() or container.kit.clock())
            oldest = f"none due before {waiting.oldest}" if later else f"oldest {waiting.oldest or '-'}"
            click.echo(f"{name}: {waiting.unsent} unsent, {waiting.dead_lettered} dead-lettered, {oldest}")
            for dead in store.dead_letters(limit=100):
                click.echo(f"  {dead.event.id} {dead.event.type} after {dead.attempts} tries: {dead.reason}")


@doctor.command()
@click.argument("event_ids", nargs=-1, type=click.UUID)
def replay(event_ids: tuple[UUID, ...]) -> None:
    """Dispatch dead-lettered events again: the given ones, or all."""
    with opened() as container:
        container.stores.require_migrated()
        local = container.kit.clock()
        count = sum(o.replay(event_ids or None, now=o.now() or local) for o in container.stores.outboxes().values())
    click.echo(f"{count} events will be tried again")


@doctor.command()
@click.option("--account", metavar="HANDLE", help="Check only this account and its posts.")
@click.option("--repair/--no-repair", default=True, help="Repair the differences.", show_default=True)
def drift(*, account: str | None, repair: bool) -> None:
    """Compare feeds, counters and offers with the truth while serving. Exits with 1 if anything differs."""
    from app.doctor.drift import Drift

    began = time.monotonic()
    with opened() as container:
        container.stores.require_migrated()
        found = Drift(container, click.echo, repair=repair)
        report = found.one(_account(container, account)) if account is not None else found.everybody()
    for line in report.summary(time.monotonic() - began):
        click.echo(line)
    if report.drift:
        raise click.exceptions.Exit(1)


@main.group()
def rebuild() -> None:
    """Rebuild projections from the truth."""


@rebuild.command("feeds")
@click.option("--account", metavar="HANDLE", help="Rebuild only this account.")
@click.option(
    "--wait/--no-wait", default=True, help="Help the relay and wait until all feeds are filled.", show_default=True
)
def rebuild_feeds(*, account: str | None, wait: bool) -> None:
    """Rebuild home and author timelines from the truth while serving."""
    from app.doctor.rebuild import Rebuild
    from app.worker.running import relay_of

    with opened() as container:
        container.stores.require_migrated()
        work = Rebuild(container, relay_of(container).round, wait=wait)
        made = work.one(_account(container, account)) if account is not None else work.everybody()
    click.echo(f"{made.feeds} feeds {'filled' if wait else 'requested'}, {made.dormant} dormant ones left out")
    click.echo(f"{made.posts} posts put on their authors' timelines")
    if made.late:
        raise click.ClickException(f"{made.late} of the feeds are not filled yet")


def _account(container: "Container", handle: str) -> UUID:
    found = container.stores.relational.accounts.by_handle(handle)
    if found is None:
        raise click.ClickException(f"there is no account {handle!r}")
    return found.id
