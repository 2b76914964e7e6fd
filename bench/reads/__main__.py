"""Measures reads: bare WSGI, a Flask hello, the fast path, cached through Flask, and uncached; see bench/README.md."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from app.container import build
from app.http import create_app
from bench.reads.chart import draw
from bench.reads.figures import WAYS, Figure, Figures
from bench.reads.load import full, steady
from bench.reads.server import Server, served
from config import Settings
from config.logs import configure
from tests.apps import System, running
from tests.engines import Engines
from tests.system.real import real_urls

# The roles on real engines. These reads do not use the feed store.
REAL = ("relational", "documents", "sessions", "cache")
POSTS = 100
LIST = "/api/v1/posts"
WORDS = "Words of a post, about as many as people write. " * 8


class Plan(Struct, frozen=True):
    rounds: int
    seconds: float
    pages: tuple[str, ...]


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="One page, three rounds: about a minute.")
@click.option("--rounds", default=9, show_default=True, help="Each measures every way once, in turn.")
@click.option("--chart", type=click.Path(path_type=Path), help="Write the medians there, as SVG.")
def main(*, quick: bool, rounds: int, chart: Path | None) -> None:
    plan = Plan(3, 2.0, ("post",)) if quick else Plan(rounds, 3.0, ("post", "list"))
    configure("warning", "console")
    engines = Engines()
    try:
        with tempfile.TemporaryDirectory() as directory, world(engines, Path(directory)) as (server, paths):
            found = {page: measured(server, page, paths[page], plan) for page in plan.pages}
            for page, figures in found.items():
                figures.report(page)
            if chart:
                draw(found, note(), chart)
    finally:
        engines.close()


def note() -> str:
    return f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"


@contextmanager
def world(engines: Engines, folder: Path) -> Iterator[tuple[Server, dict[str, str]]]:
    """Yield a server over real engines with some posts, and the paths of the pages."""
    urls: dict[str, Any] = real_urls(engines, "reads", REAL) | {"feeds_url": f"sqlite:///{folder}/feeds.db"}
    # On a busy machine a short timeout would open the breaker, and uncached reads would be measured instead.
    urls["cache_timeout"] = 5.0
    with running(Settings(**urls)) as system:
        paths = seeded(system)
        write_bodies(system, paths, folder / "bodies")
    variables = {f"QUARTET_{name.upper()}": str(value) for name, value in urls.items()}
    with served(variables, folder) as server:
        check(server, paths)
        yield server, paths


def seeded(system: System) -> dict[str, str]:
    people = [system.person() for _ in range(10)]
    posts = [people[n % 10].publish(f"Post {n}", body=WORDS, tags=["lamps"]) for n in range(POSTS)]
    system.relay.drain()
    return {"post": f"{LIST}/{posts[0]}", "list": LIST}


def write_bodies(system: System, paths: dict[str, str], folder: Path) -> None:
    """Write the uncached bytes of the pages to files, for bare WSGI and the hello."""
    folder.mkdir()
    plain = build(system.container.settings)
    client = create_app(plain).test_client()
    for page, path in paths.items():
        (folder / f"{page}.json").write_bytes(client.get(path).data)
    plain.close()


def path_to(way: str, page: str, path: str) -> str:
    return f"/{way}/{page}" if way in {"bare", "hello"} else f"/{way}{path}"


def check(server: Server, paths: dict[str, str]) -> None:
    """Check that all ways give the same bytes, and that the fast path is a cache hit."""
    for page, path in paths.items():
        for _ in range(5):
            answers = {way: server.get(path_to(way, page, path)) for way in WAYS}
        assert len({body for body, _ in answers.values()}) == 1, f"the {page} is not the same by every way"
        assert "; hit" in answers["fast"][1]["cache-status"], answers["fast"][1]


def measured(server: Server, page: str, path: str, plan: Plan) -> Figures:
    """Measure every way in each round, starting with a different one; then each at 40 % of its own median rate."""
    urls = {way: server.address + path_to(way, page, path) for way in WAYS}
    figures = Figures()
    for url in urls.values():
        full(url, 1)
    for number in range(plan.rounds):
        first = number % len(WAYS)
        for way in (list(WAYS) * 2)[first : first + len(WAYS)]:
            figures.add(way, one(server, urls[way], plan.seconds))
        click.echo(f"  {page}, round {number + 1}: {figures.latest()}; {note()}")
    for way, url in urls.items():
        figures.calm[way] = steady(url, plan.seconds, figures.rate(way) * 0.4)
    return figures


def one(server: Server, url: str, seconds: float) -> Figure:
    busy = server.busy()
    load = full(url, seconds)
    return Figure(load.rate, load.p50, load.p99, (server.busy() - busy) / load.answers * 1e6)


if __name__ == "__main__":
    main()
