"""Measures home feeds in towns of several sizes, each next to one SQL join (the peer); see bench/README.md."""

import re
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from bench import svg
from bench.signed_in.__main__ import ACCOUNTS, FILE, FOLDER, FOLLOWEES, POSTS, note, plan
from bench.signed_in.figures import Figures, label
from bench.signed_in.measuring import Effort, measured
from bench.signed_in.routes import routes
from bench.signed_in.town import Town
from bench.signed_in.world import on_engines
from config.logs import configure
from tests.engines import Engines

USUAL = f"{FOLLOWEES}x{POSTS}"
SMALL = (USUAL, "10x10000", "1000x10000", "10000x10000")
LARGE = ("10x1000000", "1000x1000000", "10000x1000000", "1000x1000000:silent")
CELL = re.compile(r"(\d+)x(\d+)(:silent)?")
ROUTES = ("home", "forgotten")
# Followees times posts, above which the peer's author-by-author query takes longer than a client waits.
MOST_BY_AUTHOR = 10**9
WIDTH, LEFT, TOP, BAR, GAP, RIGHT = 940, 280, 64, 18, 30, 210
COLOURS = {"ours": "#1b6ca8", "before": "#8ab6d6", "peer": "#e0a030", "peer:by author": "#f0d090"}


class Cell(Struct, frozen=True):
    """The size of a town. `least` is the goal for the rate as a multiple of that of the join."""

    followees: int
    posts: int
    silent: bool

    @classmethod
    def of(cls, name: str) -> "Cell":
        found = CELL.fullmatch(name)
        if not found:
            raise click.BadParameter(f"{name} is not like {USUAL} or {USUAL}:silent")
        return cls(int(found[1]), int(found[2]), found[3] is not None)

    @property
    def least(self) -> float:
        return 5.0 if self.silent else 2.0 if (self.followees, self.posts) == (FOLLOWEES, POSTS) else 1.0

    def __str__(self) -> str:
        return f"{self.followees:,} followees{' who are silent' if self.silent else ''}, {self.posts:,} posts"


@click.command(help=__doc__)
@click.argument("cells", nargs=-1)
@click.option("--before", type=FOLDER, help="A checkout of an earlier build.")
@click.option("--rounds", default=3, show_default=True, help="Each measures every way once, in turn.")
@click.option("--seconds", default=2.0, show_default=True, help="Of one measurement.")
@click.option("--accounts", default=ACCOUNTS, show_default=True, help="At least three times the followees.")
@click.option("--cache-seconds", default=3600, show_default=True, help="Time to live of what the builds cache.")
@click.option("--json", "to", type=FILE, help="Write all figures there.")
@click.option("--chart", type=FILE, help="Write the medians there, as SVG.")
def main(
    cells: tuple[str, ...],
    *,
    before: Path | None,
    rounds: int,
    seconds: float,
    accounts: int,
    cache_seconds: int,
    to: Path | None,
    chart: Path | None,
) -> None:
    configure("warning", "console")
    found: dict[str, dict[str, Figures]] = {}
    with closing(Engines()) as engines:
        for cell in map(Cell.of, cells or SMALL + LARGE):
            click.echo(str(cell))
            town = Town(plan(accounts=accounts, readers=0, **msgspec.structs.asdict(cell)))
            with (
                tempfile.TemporaryDirectory() as folder,
                on_engines(engines, town, before, Path(folder), cache_seconds) as world,
            ):
                wanted = routes(cell.least)
                if cell.followees * cell.posts > MOST_BY_AUTHOR:
                    home = {way: what for way, what in wanted["home"].ways.items() if way != "peer:by author"}
                    wanted["home"] = msgspec.structs.replace(wanted["home"], ways=home)
                found[str(cell)] = {one: measured(world, wanted[one], Effort(rounds, seconds)) for one in ROUTES}
            for figures in found[str(cell)].values():
                figures.report()
            # Write the results after each cell, since all of them take long.
            if to:
                to.write_bytes(msgspec.json.format(msgspec.json.encode({"note": note(), "towns": as_json(found)})))
            if chart:
                draw(found, note(), chart)


def as_json(found: Mapping[str, Mapping[str, Figures]]) -> Mapping[str, object]:
    return {cell: {one: figures.as_json() for one, figures in of.items()} for cell, of in found.items()}


def draw(found: Mapping[str, Mapping[str, Figures]], said: str, path: Path) -> None:
    """Draw the requests per second of the first page, a group of bars per town."""
    rates = {
        cell: {way: of["home"].rate(way).median for way in COLOURS if way in of["home"].ways}
        for cell, of in found.items()
    }
    parts = svg.page(
        WIDTH,
        TOP + sum(len(of) * BAR + GAP for of in rates.values()),
        "First page of a home feed, requests a second",
        f"{said}; medians of alternated rounds, 8 connections",
    )
    most, top = max(rate for of in rates.values() for rate in of.values()), TOP
    for cell, of in rates.items():
        parts.append(svg.text(10, top + 13, cell, size=13))
        top += BAR
        for way, rate in of.items():
            wide = rate / most * (WIDTH - LEFT - RIGHT)
            says = f"{rate:,.0f}/s" if way == "ours" else f"{rate:,.0f}/s, Quartet {of['ours'] / rate:.1f} times that"
            parts += [
                svg.text(LEFT - 8, top + 13, label(way), anchor="end"),
                f'<rect x="{LEFT}" y="{top}" width="{max(wide, 1.0):.1f}" height="{BAR - 4}" fill="{COLOURS[way]}"/>',
                svg.text(LEFT + wide + 6, top + 12, says, size=11),
            ]
            top += BAR
        top += GAP - BAR
    svg.write(parts, path)


if __name__ == "__main__":
    main()
