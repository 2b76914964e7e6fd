"""`quartet version`: the installed versions, for bug reports and logs of updates."""

import json
import platform
from importlib.metadata import version as installed

import click

from repositories.relational.migrations import head

DRIVERS = ("psycopg", "cassandra-driver", "pymongo", "redis", "amqp", "confluent-kafka")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def version(*, as_json: bool) -> None:
    """Print the versions of Quartet, its schema, Python and the engines' drivers. Needs no store."""
    own = {
        "quartet": installed("quartet"),
        "schema": head(),
        "python": platform.python_version(),
    }
    drivers = {name: installed(name) for name in DRIVERS}
    if as_json:
        click.echo(json.dumps({**own, "drivers": drivers}))
    else:
        click.echo("\n".join(f"{name} {number}" for name, number in (own | drivers).items()))
