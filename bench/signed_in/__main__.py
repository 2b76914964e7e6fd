"""Signed-in reads, beside an earlier build, Flask with one SQL join, and a hello; see bench/README.md."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec import Struct

from bench.signed_in import peer_rows
from bench.signed_in.asking import Request, ask, full
from bench.signed_in.builds import HERE, Build, Served, plain
from bench.signed_in.figures import Figure, Route
from bench.signed_in.processor import Groups, Seconds, since
from bench.signed_in.town import Plan, Town
from config.logs import configure
from tests.contracts.relational_store import new_database
from tests.engines import Engines
from tests.system.real import real_urls

FEED = {"ours": "/api/v1/feed", "before": "/api/v1/feed", "peer": "/feed"}
PAGE = 20


class World(Struct, frozen=True):
    """Who serves, by way, with the processor time of the groups in a second without requests."""

    town: Town
    served: Mapping[str, Served]
    groups: Groups
    folder: Path


@click.command(help=__doc__)
@click.option("--before", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A checkout.")
@click.option("--rounds", default=5, show_default=True, help="Each measures every way once, in turn.")
@click.option("--seconds", default=3.0, show_default=True)
@click.option("--accounts", default=2_000, show_default=True, help="At least twice the followees.")
@click.option("--posts", default=20_000, show_default=True)
@click.option("--followees", default=30, show_default=True)
@click.option("--readers", default=0, help="By default 200, or 20 who follow many.")
@click.option("--silent", is_flag=True, help="Whom readers follow has not posted for nine tenths of the time.")
def main(
    *,
    before: Path | None,
    rounds: int,
    seconds: float,
    accounts: int,
    posts: int,
    followees: int,
    readers: int,
    silent: bool,
) -> None:
    configure("warning", "console")
    readers = readers or (200 if followees <= 100 else 20)
    accounts = max(accounts, 3 * followees)
    town = Town(Plan(accounts, posts, followees, readers, silent, datetime.now(UTC)))
    engines = Engines()
    try:
        with tempfile.TemporaryDirectory() as folder, world(engines, town, before, Path(folder)) as found:
            check(found)
            route = home(found, rounds, seconds)
            route.report()
    finally:
        engines.close()


@contextmanager
def world(engines: Engines, town: Town, before: Path | None, folder: Path) -> Iterator[World]:
    engines.start_all()
    builds = [Build("ours", HERE, urls(engines, "ours", 1), folder)]
    if before:
        builds.append(Build("before", before.resolve(), urls(engines, "before", 2), folder))
    for build in builds:
        click.echo(f"loading {build.name}")
        build.load(town.plan)
    peer_url = new_database(engines.postgres())
    peer_rows.fill(peer_url, town)
    with ExitStack() as stack:
        served = {build.name: stack.enter_context(build.served()) for build in builds}
        served["peer"] = stack.enter_context(plain("peer", {"PEER_URL": peer_url}, folder))
        served["hello"] = stack.enter_context(plain("hello", {}, folder))
        redis = (engines.sessions().pid, engines.cache().pid)
        groups: dict[str, tuple[int, ...]] = {
            "PostgreSQL": (engines.postgres().pid,),
            "MongoDB": (engines.mongo().pid,),
        }
        groups |= {"Cassandra": (engines.cassandra().pid,), "Redis": redis}
        yield World(town, served, Groups(groups), folder)


def urls(engines: Engines, name: str, number: int) -> dict[str, str]:
    """Databases and a keyspace of its own; on either Redis the database of this number."""
    found = {key: str(url) for key, url in real_urls(engines, name).items()}
    return found | {key: found[key].removesuffix("/0") + f"/{number}" for key in ("sessions_url", "cache_url")}


def check(world: World) -> None:
    """Every reader is answered by all ways with the same posts."""
    for number in range(world.town.plan.readers):
        expected = [str(ref.post_id) for ref in world.town.home(number, PAGE)]
        for way, path in FEED.items():
            if way not in world.served:
                continue
            answer = ask(world.served[way].address, Request(path, world.town.token(number)))
            assert answer.status == 200, (way, answer)
            assert [item["post"]["id"] for item in answer.body["items"]] == expected, (way, number)


def home(world: World, rounds: int, seconds: float) -> Route:
    route = Route("home feed, first page")
    requests = {
        way: [Request(path, world.town.token(n)) for n in range(world.town.plan.readers)] for way, path in FEED.items()
    }
    requests = {way: some for way, some in requests.items() if way in world.served} | {"hello": [Request("/hello")]}
    measure(world, route, requests, rounds, seconds)
    return route


def measure(world: World, route: Route, requests: Mapping[str, list[Request]], rounds: int, seconds: float) -> None:
    """Every round begins with another way."""
    idle = {way: _groups(world, way).idle() for way in requests}
    for way, some in requests.items():
        full(world.served[way].address, some, 1, world.folder)
    ways = list(requests)
    for number in range(rounds):
        first = number % len(ways)
        for way in ways[first:] + ways[:first]:
            route.add(way, one(world, way, requests[way], seconds, idle[way]))
        click.echo(f"  {route.name}, round {number + 1}: {route.latest()}; load {os.getloadavg()[0]:.1f}")


def one(world: World, way: str, requests: list[Request], seconds: float, idle: Seconds) -> Figure:
    groups = _groups(world, way)
    before = groups.spent()
    load = full(world.served[way].address, requests, seconds, world.folder)
    spent = since(before, groups.spent())
    busy = {name: max(0.0, spent[name] - idle[name] * load.seconds) / load.answers * 1000 for name in spent}
    return Figure(load.answers / load.seconds, load.p50, load.p99, busy)


def _groups(world: World, way: str) -> Groups:
    return Groups({**world.groups.roots, **{name: (pid,) for name, pid in world.served[way].pids.items()}})


if __name__ == "__main__":
    main()
