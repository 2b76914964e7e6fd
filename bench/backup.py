"""Measures writing and loading a backup, next to `pg_dump` and `mongodump` where these are installed; see README.md."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import psycopg
from psycopg import sql

from app.backup.dumping import write
from app.backup.progress import KindRates
from app.backup.restoring import checked, differences, load
from app.container import Container, build
from app.seed.load import Loader
from app.seed.plan import Plan
from app.seed.sizes import sizes
from app.seed.work import Progress, Run
from config import Settings
from tests.apps import PlainHasher, embedded
from tests.engines import Engines
from tests.system.real import real_urls

ROLES = ("relational", "documents")
MIXES = ("embedded", "postgres", "servers")


@click.command()
@click.option("--accounts", default=10_000, show_default=True)
@click.option("--posts", default=100_000, show_default=True)
@click.argument("mixes", nargs=-1)
def main(*, accounts: int, posts: int, mixes: tuple[str, ...]) -> None:
    servers, plan = Engines(), Plan(sizes("medium", accounts=accounts, posts=posts))
    plan.prepare()
    try:
        for mix in mixes or MIXES:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder)
                source, target = (opened(servers, mix, path / name) for name in ("source", "target"))
                fill(mix, source, plan)
                measure(mix, source, target, path)
                if mix == "servers":
                    beside(source.settings, path)
                source.close()
                target.close()
    finally:
        servers.close()


def opened(servers: Engines, mix: str, folder: Path) -> Container:
    folder.mkdir()
    urls: dict[str, Any] = embedded(folder)
    if mix != "embedded":
        urls |= real_urls(servers, f"backup_{folder.name}", ROLES if mix == "servers" else ROLES[:1])
    if mix == "postgres":
        urls["documents_url"] = urls["relational_url"]
    container = build(Settings(**urls, relational_timeout=30.0, documents_timeout=30.0), hasher=PlainHasher())
    container.stores.migrate()
    return container


def fill(mix: str, container: Container, plan: Plan) -> None:
    for step in Loader(container, plan, "hash").steps():
        if step.role in ROLES:
            Run(step, batch=5_000, threads=2 if step.parallel and mix != "embedded" else 1, progress=Progress())()


def measure(mix: str, source: Container, target: Container, folder: Path) -> None:
    path, rates = folder / "backup", KindRates(source.settings.engines)
    seconds = timed(lambda: write(source.stores, path, rates))
    _, ends = checked(path, source.stores)
    count = sum(one.records for one in ends)
    loaded = timed(lambda: load(path, target.stores, ends, rates))
    compared = timed(lambda: list(differences(target.stores, ends)))
    for what, one in (("dump", seconds), ("restore", loaded), ("comparison", compared)):
        click.echo(
            f"{mix}: {what}: {count:,} records, {one:.1f} s, {count / one:,.0f}/s, {path.stat().st_size:,} bytes"
        )


def beside(settings: Settings, folder: Path) -> None:
    """Run the engines' own backup tools over the same rows."""
    with psycopg.connect(settings.relational_url) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200"
        ).fetchall()
        counts = [sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)) for (name,) in tables]
        rows = sum(connection.execute(count).fetchall()[0][0] for count in counts)
    tools = {
        "pg_dump -Fc": (rows, ["pg_dump", "-Fc", "-f", str(folder / "pg"), settings.relational_url]),
        "mongodump --gzip": (0, ["mongodump", "--gzip", f"--archive={folder / 'mongo'}", settings.documents_url]),
    }
    for name, (count, command) in tools.items():
        found = shutil.which(command[0])
        if found is None:
            click.echo(f"{name}: not installed")
            continue
        seconds = timed(lambda run=[found, *command[1:]]: subprocess.run(run, check=True))  # type: ignore[misc]  # bound by its default
        click.echo(f"{name}: {count:,} rows, {seconds:.1f} s, {count / seconds:,.0f}/s")


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
