"""Measures custom components next to the usual ones: CPU time of the server per answer; see bench/README.md."""

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from bench.reads.__main__ import LIST, REAL, seeded
from bench.reads.load import full
from bench.reads.server import Server, served
from config import Settings
from config.logs import configure
from tests.apps import running
from tests.engines import Engines
from tests.system.real import real_urls


class Part(Struct, frozen=True):
    """`base` and `others` are names in `wsgi.WAYS`. With `signed`, requests are signed in, so no kept page is read."""

    base: str
    others: tuple[str, ...]
    signed: bool = False


PARTS = {
    "path": Part("now", ("flask",)),
    "lease": Part("now", ("asked",)),
    "wire": Part("asked", ("connection", "client")),
    "wire-signed": Part("now", ("connection", "client"), signed=True),
    "line": Part("now", ("bytes", "stdlib")),
    "gate": Part("now", ("ungated",)),
    "gate-signed": Part("now", ("ungated",), signed=True),
}


@click.command(help=__doc__)
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="By default all, in five minutes.")
@click.option(
    "--rounds",
    type=click.IntRange(2),
    default=7,
    show_default=True,
    help="Each measures every way, and the base between them.",
)
def main(*, parts: tuple[str, ...], rounds: int) -> None:
    configure("warning", "console")
    engines = Engines()
    try:
        with tempfile.TemporaryDirectory() as directory, world(engines, Path(directory)) as (server, path, token):
            for name in parts or PARTS:
                weigh(server, name, path, {"Authorization": f"Bearer {token}"}, rounds)
    finally:
        engines.close()


@contextmanager
def world(engines: Engines, folder: Path) -> Iterator[tuple[Server, str, str]]:
    """Yield a server over real engines, the path of a post, and a token."""
    urls: dict[str, Any] = real_urls(engines, "weigh", REAL) | {"feeds_url": f"sqlite:///{folder}/feeds.db"}
    urls["cache_timeout"] = 5.0
    with running(Settings(**urls)) as system:
        path, token = seeded(system)["post"], str(system.person().token)
    variables = {f"QUARTET_{name.upper()}": str(value) for name, value in urls.items()}
    with served(variables, folder, target="bench.weigh.wsgi:app", probe=f"/now{LIST}") as server:
        yield server, path, token


def weigh(server: Server, name: str, path: str, headers: dict[str, str], rounds: int) -> None:
    """Print each way's CPU time as a ratio to the mean of the base measured right before and after."""
    part = PARTS[name]
    sent = headers if part.signed else {}

    def one(way: str) -> float:
        busy, load = server.busy(), full(f"{server.address}/{way}{path}", 1, sent)
        return (server.busy() - busy) / load.answers * 1e6

    for way in (*part.others, part.base):
        one(way)
    bases = [one(part.base)]
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in part.others}
    for number in range(rounds):
        first = number % len(part.others)
        for way in (part.others * 2)[first : first + len(part.others)]:
            took = one(way)
            bases.append(one(part.base))
            found[way].append((took, took / statistics.mean(bases[-2:])))
    click.echo(f"{name}: {part.base} {statistics.median(bases):.0f} us; load {os.getloadavg()[0]:.1f}")
    for way, rows in found.items():
        ratios = sorted(ratio for _, ratio in rows)
        low, _, high = statistics.quantiles(ratios, n=4)
        took = statistics.median(took for took, _ in rows)
        click.echo(
            f"  {way:12} {took:6.0f} us, {statistics.median(ratios):.2f} of {part.base} ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
