"""Measures feeds: deliveries per second, the cost of a page, the lag next to a popular author; see bench/README.md."""

import os
import time
from pathlib import Path

import click

from bench.feed import adapters, deliveries, lag, pages
from bench.feed.chart import draw
from config.logs import configure
from tests.engines import Engines

PARTS = "deliveries", "pages", "lag", "adapters"


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Fewer rounds, no more than 10^5 posts and 10,000 followers.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Not all of it.")
@click.option("--chart", type=click.Path(path_type=Path), help="Write the medians of pages there, as SVG.")
def main(*, quick: bool, only: tuple[str, ...], chart: Path | None) -> None:
    configure("warning", "console")
    engines = Engines()
    try:
        engines.start_all()
        for part in only or PARTS:
            began = time.monotonic()
            click.echo(f"\n{part}; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
            _measure(part, engines, chart, quick=quick)
            click.echo(f"{part} took {time.monotonic() - began:.0f} s")
    finally:
        engines.close()


def _measure(part: str, engines: Engines, chart: Path | None, *, quick: bool) -> None:
    if part == "deliveries":
        deliveries.measure(engines, followers=2_000 if quick else 5_000, rounds=6 if quick else 15)
    elif part == "adapters":
        adapters.measure(engines, adapters.Scale(2_500, 100, 10) if quick else adapters.Scale(10_000, 200, 20))
    elif part == "lag":
        quickly, fully = lag.Plan(10_000, 1, 5, 30), lag.Plan(100_000, 2, 20, 180)
        lag.measure(engines, quickly if quick else fully)
    else:
        sizes = (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000)
        bars = pages.measure(engines, pages.Scale(sizes, rounds=2 if quick else 6, each=3))
        if chart:
            draw(bars, f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", chart)


if __name__ == "__main__":
    main()
