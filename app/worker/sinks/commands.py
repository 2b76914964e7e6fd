"""The commands `quartet sinks ...` and `quartet asyncapi`."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import click

from app.container import Container
from app.worker.sinks.asyncapi import document
from app.worker.sinks.running import workers_of

Opened = Callable[[], AbstractContextManager[Container]]
SHOWN = 100


def drain(container: Container) -> None:
    """Send everything that is due now, in this thread."""
    for one in workers_of(container):
        while one.step():
            continue
        one.close()


@click.command()
def asyncapi() -> None:
    """Print the AsyncAPI document of the events that are sent. Needs no store."""
    click.echo(json.dumps(document(), indent=2))


@click.group()
def sinks() -> None:
    """Show and manage the sinks that events are sent to."""


@sinks.command("list")
@click.pass_obj
def show(opened: Opened) -> None:
    """Show each sink's waiting events, its last error and its dead letters."""
    with opened() as container:
        container.stores.require_migrated(container.stores.relational)
        log = container.stores.relational.event_log
        for state in log.states():
            waiting = f"{state.waiting} waiting, oldest {state.oldest or '-'}, {state.dead_lettered} dead-lettered"
            disabled = ", disabled" if state.disabled_at else ""
            click.echo(f"{state.sink}: {waiting}{disabled}{f': {state.reason}' if state.reason else ''}")
            for dead in log.dead_letters(state.sink, after=0, limit=SHOWN):
                click.echo(f"  {dead.logged.event.id} {dead.logged.event.type}: {dead.reason}")


@sinks.command()
@click.argument("name")
@click.option(
    "--since", type=click.DateTime(), required=True, help="Time from which on the events were logged, in UTC."
)
@click.pass_obj
def replay(opened: Opened, *, name: str, since: datetime) -> None:
    """Send again, in order and with the same ids, all stored events that were logged at --since or later."""
    with opened() as container:
        relational = container.stores.relational
        container.stores.require_migrated(relational)
        with relational.transaction() as tx:
            position = tx.event_log.rewind(name, since=since.replace(tzinfo=UTC))
        if position is None:
            raise click.ClickException(f"there is no sink {name!r}")
        waiting = next(state.waiting for state in relational.event_log.states() if state.sink == name)
    click.echo(f"{waiting} events will be sent")


@sinks.command()
@click.argument("name")
@click.pass_obj
def forget(opened: Opened, *, name: str) -> None:
    """Remove a sink that no longer exists. Until then its unsent events are stored."""
    with opened() as container:
        container.stores.require_migrated(container.stores.relational)
        if name in {sink.name for sink in container.stores.sinks}:
            raise click.ClickException(f"{name} is among QUARTET_SINKS")
        if name in {webhook.sink for webhook in container.stores.relational.webhooks.all()}:
            raise click.ClickException(f"{name} is a webhook: DELETE /operator/webhooks/{name.partition('-')[2]}")
        with container.stores.relational.transaction() as tx:
            known = tx.event_log.forget(name)
        if not known:
            raise click.ClickException(f"there is no sink {name!r}")
    click.echo(f"{name} is forgotten")
