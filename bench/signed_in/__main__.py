"""Measures signed-in reads next to an earlier build, Flask with one SQL join, and a hello; see bench/README.md."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from bench.signed_in.chart import draw
from bench.signed_in.figures import Figures
from bench.signed_in.measuring import Effort, measured
from bench.signed_in.routes import ON_ONE, routes
from bench.signed_in.town import Plan, Town
from bench.signed_in.world import World, embedded, on_engines, on_postgresql
from config.logs import configure
from tests.engines import Engines

ACCOUNTS, POSTS, FOLLOWEES = 2_000, 20_000, 30
MANY = 100
SMALL_POSTS, SMALL_READERS = 5_000, 50
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True)
FILE = click.Path(dir_okay=False, path_type=Path, resolve_path=True)
NAMES = [*routes(0), *ON_ONE]


@click.command(help=__doc__)
@click.option("--before", type=FOLDER, help="A checkout of an earlier build.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="By default all.")
@click.option("--rounds", default=5, show_default=True, help="Each measures every way once, in turn.")
@click.option("--seconds", default=3.0, show_default=True, help="Of one measurement.")
@click.option("--accounts", default=ACCOUNTS, show_default=True, help="At least three times the followees.")
@click.option("--posts", default=POSTS, show_default=True)
@click.option("--followees", default=FOLLOWEES, show_default=True)
@click.option("--readers", default=0, help="By default 200, or 20 who follow many.")
@click.option("--blocks", default=0, help="How many each reader blocks, and is blocked by.")
@click.option("--silent", is_flag=True, help="Whom readers follow has not posted for nine tenths of the time.")
@click.option("--cache-seconds", default=300, show_default=True, help="Time to live of what the builds cache.")
@click.option("--json", "to", type=FILE, help="Write all figures there.")
@click.option("--chart", type=FILE, help="Write the medians there, as SVG.")
def main(
    *,
    before: Path | None,
    only: tuple[str, ...],
    rounds: int,
    seconds: float,
    cache_seconds: int,
    to: Path | None,
    chart: Path | None,
    **size: Any,
) -> None:
    configure("warning", "console")
    town = Town(plan(**size))
    usual = (town.plan.accounts, town.plan.posts, town.plan.followees) == (ACCOUNTS, POSTS, FOLLOWEES)
    wanted = routes(5.0 if town.plan.silent else 2.0 if usual else 1.0)
    names, effort = only or NAMES, Effort(rounds, seconds)
    found: dict[str, Figures] = {}
    kept: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        if set(names) - set(ON_ONE):
            with closing(Engines()) as engines, on_engines(engines, town, before, Path(folder), cache_seconds) as world:
                found |= {name: measured(world, wanted[name], effort) for name in names if name not in ON_ONE}
                kept = {who: world.kept(who) for who in world.caches}
        small = Town(replace(town.plan, posts=min(town.plan.posts, SMALL_POSTS), readers=SMALL_READERS))
        for name in (one for one in names if one in ON_ONE):
            own = Path(folder) / name
            own.mkdir()
            with _on_one(name, small, before, own) as world:
                found[name] = measured(world, ON_ONE[name], effort)
    for figures in found.values():
        figures.report()
    for who, size_kept in kept.items():
        click.echo(f"  {who}: {size_kept:,.0f} bytes in the cache for each reader")
    report = {"plan": town.plan, "note": note(), "bytes_for_each_reader": kept}
    if to:
        figures_of = {name: figures.as_json() for name, figures in found.items()}
        to.write_bytes(msgspec.json.format(msgspec.json.encode(report | {"routes": figures_of})))
    if chart:
        draw(found, note(), chart)


@contextmanager
def _on_one(name: str, town: Town, before: Path | None, folder: Path) -> Iterator[World]:
    if name == "embedded":
        with embedded(town, before, folder) as world:
            yield world
        return
    with closing(Engines()) as engines, on_postgresql(engines, town, before, folder) as world:
        yield world


def plan(*, accounts: int, posts: int, followees: int, readers: int, silent: bool, blocks: int = 0) -> Plan:
    readers = readers or (200 if followees <= MANY else 20)
    return Plan(max(accounts, 3 * followees), posts, followees, readers, silent, datetime.now(UTC), blocks)


def note() -> str:
    return f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
