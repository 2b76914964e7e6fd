"""Measures the same reads and writes on each rung of docs/growing.md, in alternating rounds (bench/README.md).

Sixteen connections send requests in a closed loop. Server, engines and client share the machine.
"""

import os
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import click

from bench.ladder.chart import draw
from bench.ladder.figures import Figure, Figures
from bench.ladder.rungs import RUNGS, urls_of
from bench.ladder.traffic import READS, WRITES, Town, settle
from bench.overload import Drive
from bench.reads.server import served
from config import Settings
from config.logs import configure
from tests.apps import ROLES, running
from tests.engines import Engines

CONNECTIONS = 16
WARM_SECONDS = 1.0
MIXES = {"reads": READS, "writes": WRITES}


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=6.0, show_default=True)
@click.option("--chart", type=click.Path(path_type=Path), help="Write a chart, as SVG.")
def main(*, rounds: int, seconds: float, chart: Path | None) -> None:
    configure("warning", "console")
    click.echo(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    figures: dict[str, Figures] = defaultdict(Figures)
    engines = Engines()
    try:
        with tempfile.TemporaryDirectory() as directory, ExitStack() as towns:
            rungs = {rung: _town(rung, engines, Path(directory), towns) for rung in RUNGS}
            for number in range(rounds):
                for rung in list(rungs)[:: 1 if number % 2 == 0 else -1]:
                    _measure(figures, rung, *rungs[rung], number, seconds, Path(directory))
    finally:
        engines.close()
    for mix, found in figures.items():
        found.report(mix)
    if chart:
        draw(figures, f"{os.cpu_count()} processors, {rounds} rounds of {seconds:g} s", chart)


def _town(rung: str, engines: Engines, directory: Path, towns: ExitStack) -> tuple[dict[str, str], Town]:
    folder = directory / rung.replace(" ", "")
    folder.mkdir()
    urls = urls_of(rung, engines, folder)
    slow = {f"{role}_timeout": 10.0 for role in ROLES}
    system = towns.enter_context(running(Settings(**urls, **slow)))  # type: ignore[arg-type]  # by name
    return {f"QUARTET_{name.upper()}": url for name, url in urls.items()}, settle(system)


def _measure(
    figures: dict[str, Figures],
    rung: str,
    variables: dict[str, str],
    town: Town,
    number: int,
    seconds: float,
    directory: Path,
) -> None:
    own = {"QUARTET_RELAY": "inline", "QUARTET_WORKERS": "1"}
    with served(variables | own, directory, "app.wsgi:app", "/health/live") as server:
        for place, (mix, weights) in enumerate(MIXES.items()):
            requests = town.requests(weights, 2 * number + place)
            Drive(server.port, requests[::-1], 0, CONNECTIONS).run(WARM_SECONDS)
            busy = server.busy()
            load = Drive(server.port, requests, 0, CONNECTIONS).run(seconds)
            assert not load.failed, f"{load.failed} {mix} failed on {rung}"
            figures[mix].add(rung, Figure.of(load, server.busy() - busy))
            click.echo(f"round {number + 1}, {rung:>12}, {mix}: {figures[mix].latest(rung)}")


if __name__ == "__main__":
    main()
