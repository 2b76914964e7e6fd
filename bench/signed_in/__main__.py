"""Signed-in reads, beside an earlier build, Flask with one SQL join, and a hello; see bench/README.md."""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from bench.signed_in.chart import draw
from bench.signed_in.figures import Figures
from bench.signed_in.measuring import Effort, measured
from bench.signed_in.routes import EMBEDDED, routes
from bench.signed_in.town import Plan, Town
from bench.signed_in.world import embedded, on_engines
from config.logs import configure
from tests.engines import Engines

ACCOUNTS, POSTS, FOLLOWEES = 2_000, 20_000, 30
MANY = 100
EMBEDDED_POSTS, EMBEDDED_READERS = 5_000, 50
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True)
FILE = click.Path(dir_okay=False, path_type=Path, resolve_path=True)
NAMES = [*routes(0), "embedded"]


@click.command(help=__doc__)
@click.option("--before", type=FOLDER, help="A checkout of an earlier build.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="By default all.")
@click.option("--rounds", default=5, show_default=True, help="Each measures every way once, in turn.")
@click.option("--seconds", default=3.0, show_default=True, help="Of one measurement.")
@click.option("--accounts", default=ACCOUNTS, show_default=True, help="At least three times the followees.")
@click.option("--posts", default=POSTS, show_default=True)
@click.option("--followees", default=FOLLOWEES, show_default=True)
@click.option("--readers", default=0, help="By default 200, or 20 who follow many.")
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
        if set(names) - {"embedded"}:
            engines = Engines()
            try:
                with on_engines(engines, town, before, Path(folder), cache_seconds) as world:
                    found |= {name: measured(world, wanted[name], effort) for name in names if name != "embedded"}
                    kept = {who: world.kept(who) for who in world.caches}
            finally:
                engines.close()
        if "embedded" in names:
            own = Path(folder) / "embedded"
            own.mkdir()
            small = Town(replace(town.plan, posts=min(town.plan.posts, EMBEDDED_POSTS), readers=EMBEDDED_READERS))
            with embedded(small, before, own) as world:
                found["embedded"] = measured(world, EMBEDDED, effort)
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


def plan(*, accounts: int, posts: int, followees: int, readers: int, silent: bool) -> Plan:
    readers = readers or (200 if followees <= MANY else 20)
    return Plan(max(accounts, 3 * followees), posts, followees, readers, silent, datetime.now(UTC))


def note() -> str:
    return f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
